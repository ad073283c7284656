export interface ErrorDetail {
  /** Stable, lower case with underscores; programs may compare it. */
  readonly code: string
  /** What went wrong, where, and what to do about it, in one or two sentences. */
  readonly message: string
  /** What to do, when it is worth a line of its own. */
  readonly hint?: string | undefined
  readonly cause?: unknown
}

/** Every error that Millrace raises on purpose. */
export class MillraceError extends Error {
  readonly code: string
  readonly hint: string | undefined
  constructor({ code, message, hint, cause }: ErrorDetail) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = new.target.name
    this.code = code
    this.hint = hint
  }
}

/** The other side is down or busy: the same call may succeed later and is tried again. */
export class Retryable extends MillraceError {
  /** Milliseconds to wait at least, when the other side said so. */
  readonly delayMs: number | undefined
  constructor(detail: ErrorDetail & { readonly delayMs?: number | undefined }) {
    super(detail)
    this.delayMs = detail.delayMs
  }
}

/** Nothing that is tried again can help: the pipeline stops and says why. */
export class Fatal extends MillraceError {}

/** The partition belongs to someone else now: what this lane was doing is abandoned, not failed. */
export class Fenced extends MillraceError {}

/** Nobody was recognised: there is no token or certificate, or it is expired, forged or unknown. */
export class Unauthenticated extends MillraceError {}

/** The caller is known and may not do this. */
export class Forbidden extends MillraceError {}

/** The caller asked for something that is not there. `code` ends in `_not_found`. */
export class NotFound extends MillraceError {}

/** Something that is wrong at a place of a text. */
export interface TextProblem {
  /** From 1; 0 for what stands in no text, such as an environment variable. */
  readonly line: number
  /** In UTF-16 units, from 1. */
  readonly column: number
  readonly severity: 'error' | 'warning'
  /** Stable, lower case with underscores. */
  readonly code: string
  readonly message: string
  readonly hint?: string | undefined
}

/** The caller's input is wrong: a request, an option, a file. */
export class InvalidInput extends MillraceError {
  /** Each thing that is wrong, if the input is a text. */
  readonly problems: readonly TextProblem[] = []
}

/** An event that can never be accepted. It goes to the dead letters; the events beside it go on. */
export interface Rejection {
  /** Index into the events that were handed in. */
  readonly index: number
  readonly code: string
  readonly message: string
}

export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** The message and, where there is one, the hint, for places that show a single text. */
export function errorAdvice(error: unknown): string {
  const message = errorMessage(error)
  const hint = error instanceof MillraceError ? error.hint : undefined
  return hint === undefined ? message : `${message}; ${hint}`
}

/** The `code` of a system or Millrace error, such as `EADDRINUSE`. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}
