/** What is wrong with one event by its index, with one field, or at one place of a pipeline's text. */
export interface ErrorPlace {
  readonly index?: number
  /** JSON pointer into the event or the request. */
  readonly pointer?: string
  /** From 1. */
  readonly line?: number
  readonly column?: number
  readonly code?: string
  readonly message: string
  readonly hint?: string
}

export interface ErrorDetails {
  /** Stable, for programs. */
  readonly code: string
  readonly message: string
  /** HTTP status, or close code of the WebSocket. */
  readonly status?: number | undefined
  readonly hint?: string | undefined
  readonly errors?: readonly ErrorPlace[] | undefined
  readonly cause?: unknown
}

/** What the server refused, or could not do, or was not there for. */
export class MillraceClientError extends Error {
  readonly code: string
  readonly status: number | undefined
  readonly hint: string | undefined
  readonly errors: ErrorDetails['errors']

  constructor({ code, message, status, hint, errors, cause }: ErrorDetails) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'MillraceClientError'
    this.code = code
    this.status = status
    this.hint = hint
    this.errors = errors
  }

  /** Whether the same may succeed later, as far as one can tell. */
  get passing(): boolean {
    const { code, status = 0 } = this
    return code === 'unreachable' || status === 429 || (status >= 500 && status < 600)
  }
}
