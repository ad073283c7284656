import type { Context, Hono } from 'hono'
import type { z } from 'zod'
import type { Action } from '../core/principal.ts'
import { demand, principalOf } from './permission.ts'

export interface Content {
  /** One that `request` or `answer` has named; left out for plain text and streams. */
  readonly schema?: z.ZodType | undefined
  readonly example: unknown
}
export type Contents = Readonly<Record<string, Content>>

/**
 * Who may call a route: `anyone`; `caller`, whoever is recognised, since the answer holds only what they may have; or who
 * may do the action with the name, in which `{topic}` is that parameter of the path.
 */
export type Permission =
  | 'anyone'
  | 'caller'
  | {
      readonly action: Action
      readonly name: string
      /** The handler demands it itself, for the name stands in the body, or because what it calls does. */
      readonly byHandler?: true
    }

/** What `/openapi.json` says of a route. The handler checks its input with the same schemas. */
export interface Route {
  readonly method: 'get' | 'post' | 'put' | 'delete'
  /** With parameters in braces: `/v1/topics/{topic}`. */
  readonly path: string
  readonly permission: Permission
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
    const { permission, method, path } = route
    this.#app.on(method, path.replaceAll(/\{(\w+)\}/g, ':$1'), (c) => {
      if (permission === 'caller') principalOf(c)
      else if (permission !== 'anyone' && !permission.byHandler) {
        const name = permission.name.replaceAll(/\{(\w+)\}/g, (_, parameter: string) => pathParameter(c, parameter))
        c.set('rows', demand(c, permission.action, name))
      }
      return handler(c)
    })
  }
}

/** A parameter of the path, decoded. */
export function pathParameter(c: Context, name: string): string {
  return c.req.param(name) ?? ''
}
