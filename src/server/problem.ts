import type { Context } from 'hono'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { Fatal, Forbidden, InvalidInput, MillraceError, NotFound, Retryable, Unauthenticated } from '../core/errors.ts'

/** What is wrong with one event, one option or one place of a request. */
export interface Detail {
  /** Of the event in the request, from 0. */
  readonly index?: number | undefined
  /** JSON pointer into the event or the request's body. */
  readonly pointer?: string | undefined
  /** Of a text, such as a pipeline, from 1. */
  readonly line?: number | undefined
  readonly column?: number | undefined
  readonly code?: string | undefined
  readonly message: string
  readonly hint?: string | undefined
}

/** The request is wrong in several places. */
export class InvalidRequest extends InvalidInput {
  readonly status: ContentfulStatusCode
  readonly errors: readonly Detail[] | undefined
  constructor(
    status: ContentfulStatusCode,
    detail: { code: string; message: string; hint?: string | undefined },
    errors?: readonly Detail[],
  ) {
    super(detail)
    this.status = status
    this.errors = errors
  }
}

const titles: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Content',
  426: 'Upgrade Required',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  503: 'Service Unavailable',
}

/** RFC 9457 problem details; `code` and `hint` are Millrace's, `code` is stable. */
export interface Problem {
  readonly title: string
  readonly status: ContentfulStatusCode
  readonly code: string
  readonly detail: string
  readonly hint?: string | undefined
  readonly errors?: readonly Detail[] | undefined
  /** What clients of an imitated API read. */
  readonly error?: Readonly<Record<string, unknown>>
}

/** The problem that an error is to a caller. Says nothing about errors that were not raised on purpose. */
export function toProblem(error: unknown): Problem {
  if (!(error instanceof MillraceError)) {
    return problem(500, 'internal_error', 'The server failed on this request; its log says why.')
  }
  const { code, message, hint } = error
  if (error instanceof InvalidRequest) return { ...problem(error.status, code, message, hint), errors: error.errors }
  if (error instanceof Unauthenticated) return problem(401, code, message, hint)
  if (error instanceof Forbidden) return problem(403, code, message, hint)
  if (error instanceof NotFound) return problem(404, code, message, hint)
  if (code === 'fingerprint_mismatch') return problem(409, code, message, hint)
  if (code === 'not_bound') return problem(501, code, message, hint)
  if (error instanceof InvalidInput) return { ...problem(400, code, message, hint), errors: placesOf(error) }
  if (error instanceof Retryable) return problem(503, code, message, hint)
  return problem(error instanceof Fatal ? 500 : 400, code, message, hint)
}

function placesOf({ problems }: InvalidInput): Detail[] | undefined {
  const errors = problems.filter(({ severity }) => severity === 'error')
  if (errors.length === 0) return undefined
  return errors.map(({ line, column, code, message, hint }) => ({ line, column, code, message, hint }))
}

/** Seconds to wait before the next try, for an error that may pass. */
export function retryAfter(error: unknown): string | undefined {
  if (!(error instanceof Retryable)) return undefined
  return String(Math.max(1, Math.ceil((error.delayMs ?? 0) / 1000)))
}

export function problemResponse(c: Context, problem: Problem, headers: Record<string, string> = {}): Response {
  return c.body(JSON.stringify(problem), problem.status, {
    'content-type': 'application/problem+json',
    ...headers,
  })
}

function problem(status: ContentfulStatusCode, code: string, detail: string, hint?: string): Problem {
  return { title: titles[status] ?? 'Error', status, code, detail, hint }
}
