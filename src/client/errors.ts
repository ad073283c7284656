export interface ErrorDetails {
  /** Stable, for programs. */
  readonly code: string
  readonly message: string
  /** HTTP status, or close code of the WebSocket. */
  readonly status?: number | undefined
  readonly hint?: string | undefined
  /** What is wrong with each bad event, by its index. */
  readonly errors?:
    | readonly { readonly index?: number; readonly pointer?: string; readonly message: string }[]
    | undefined
}

/** What the server refused, or could not do. */
export class MillraceClientError extends Error {
  readonly code: string
  readonly status: number | undefined
  readonly hint: string | undefined
  readonly errors: ErrorDetails['errors']

  constructor({ code, message, status, hint, errors }: ErrorDetails) {
    super(message)
    this.name = 'MillraceClientError'
    this.code = code
    this.status = status
    this.hint = hint
    this.errors = errors
  }
}
