import { errorMessage, Fatal, MillraceError, Retryable } from '../../src/core/errors.ts'
import { Refused } from '../../src/core/vector-writes.ts'

const longestMessage = 400
/** When the server says that it is busy, but not for how long. */
const busyMs = 1_000

/** The HTTP status that an error of the client carries, if the server answered at all. */
export function statusOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('status' in error)) return undefined
  return typeof error.status === 'number' ? error.status : undefined
}

/** An error of Qdrant, or of the way to it, as one of ours. */
export function storeFailure(doing: string, error: unknown): MillraceError {
  if (error instanceof MillraceError) return error
  const status = statusOf(error)
  if (status === 401 || status === 403) {
    return new Fatal({
      code: 'vectors_refused',
      message: `Qdrant refuses ${doing} (${status}). Check vectors.qdrant.apiKey, and whether that key may write.`,
      cause: error,
    })
  }
  const delayMs = busyDelay(status, error)
  if (status === undefined || status === 408 || status >= 500 || delayMs !== undefined) {
    return new Retryable({
      code: 'vectors_unavailable',
      message: `Qdrant is not available for ${doing}: ${reason(error)}. It is tried again.`,
      delayMs,
      cause: error,
    })
  }
  if (status === 400 || status === 413 || status === 422) {
    return new Refused({
      code: 'vector_store_refused',
      message: `Qdrant refused ${doing} (${status}): ${reason(error)}`,
    })
  }
  return new Retryable({
    code: 'vector_store_failed',
    message: `Qdrant failed ${doing} (${status}): ${reason(error)}`,
    cause: error,
  })
}

/** Milliseconds to wait, if the server is there but can take no more. */
function busyDelay(status: number | undefined, error: unknown): number | undefined {
  if (typeof error === 'object' && error !== null && 'retry_after' in error) {
    const seconds = Number(error.retry_after)
    return Number.isFinite(seconds) && seconds > 0 ? seconds * 1_000 : busyMs
  }
  return status === 429 || status === 503 ? busyMs : undefined
}

/** What the server said, or why it was not reached: `fetch` itself only says that it failed. */
function reason(error: unknown): string {
  const said = serverSays(error)
  const cause = error instanceof Error ? error.cause : undefined
  const text = said ?? (cause instanceof Error && cause.message !== '' ? cause.message : errorMessage(error))
  return text.replace(/\s+/g, ' ').slice(0, longestMessage)
}

function serverSays(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('data' in error)) return undefined
  const { data } = error
  if (typeof data !== 'object' || data === null || !('status' in data)) return undefined
  const { status } = data
  if (typeof status !== 'object' || status === null || !('error' in status)) return undefined
  return typeof status.error === 'string' ? status.error : undefined
}
