import type { Context, Hono } from 'hono'
import type { z } from 'zod'

export interface Content {
  /** One that `request` or `answer` has named; left out for plain text and streams. */
  readonly schema?: z.ZodType | undefined
  readonly example: unknown
}
export type Contents = Readonly<Record<string, Content>>

/** What `/openapi.json` says of a route. The handler checks its input with the same schemas. */
export interface Route {
  readonly method: 'get' | 'post' | 'put' | 'delete'
  /** With parameters in braces: `/v1/topics/{topic}`. */
  readonly path: string
  readonly tag: string
  readonly summary: string
  readonly description?: string
  readonly query?: z.ZodObject
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Contents
  /** Status and body of success. */
  readonly answers: Readonly<Record<number, { readonly description: string; readonly content?: Contents }>>
  /** Statuses of the problems that are to be expected. */
  readonly problems: readonly number[]
}

export type Handler = (c: Context) => Response | Promise<Response>

/** Adds documented routes to an application. */
export class Routes {
  readonly #app: Hono
  readonly all: Route[] = []

  constructor(app: Hono) {
    this.#app = app
  }

  add(route: Route, handler: Handler): void {
    this.all.push(route)
    this.#app.on(route.method, route.path.replaceAll(/\{(\w+)\}/g, ':$1'), handler)
  }
}

/** A parameter of the path, decoded. */
export function pathParameter(c: Context, name: string): string {
  return c.req.param(name) ?? ''
}
