import { errorMessage, Fatal, MillraceError, Retryable } from '../../src/core/errors.ts'
import { Refused } from '../../src/core/vector-writes.ts'

/** The index or namespace is not there. */
export class Missing extends Fatal {}

const longestDelayMs = 300_000
/** What the SDK reads itself: refusals, and what is not there or there already. Nothing else says that a request is wrong. */
const read = [400, 404, 409, 413, 422]

/** What an answer of Pinecone means when its status alone says it; undefined for one that the SDK may read. */
export function responseFailure(response: Response): MillraceError | undefined {
  const { status } = response
  if (status === 401 || status === 403) {
    return new Fatal({
      code: 'vectors_unauthorized',
      message: `Pinecone does not accept the API key (HTTP ${status}).`,
      hint: 'Check `vectors.pinecone.apiKey`, the project it belongs to, and what it may do.',
    })
  }
  if (status === 429) {
    return new Retryable({
      code: 'vectors_unavailable',
      message: 'Pinecone takes no more requests for now (HTTP 429): a rate limit or a quota of the project is reached.',
      delayMs: retryAfter(response.headers.get('retry-after')),
    })
  }
  if (status >= 400 && !read.includes(status)) {
    return new Retryable({
      code: 'vectors_unavailable',
      message: `Pinecone failed (HTTP ${status}).`,
      delayMs: retryAfter(response.headers.get('retry-after')),
    })
  }
  return undefined
}

/** `Retry-After`, in seconds or as a date, in milliseconds from now. */
function retryAfter(value: string | null): number | undefined {
  if (value === null) return undefined
  const delayMs = /^\d+$/.test(value.trim()) ? Number(value) * 1_000 : Date.parse(value) - Date.now()
  return Number.isFinite(delayMs) ? Math.min(Math.max(0, delayMs), longestDelayMs) : undefined
}

/** What a call to the SDK threw, as one of our errors. `doing` completes "Pinecone failed …". */
export function pineconeFailure(doing: string, error: unknown): MillraceError {
  const ours = ourError(error)
  if (ours instanceof Retryable) return new Retryable({ ...detail(ours, doing), delayMs: ours.delayMs })
  if (ours instanceof Fatal) return new Fatal(detail(ours, doing))
  if (ours !== undefined) return ours
  const text = errorMessage(error).split('\n').join(' ').slice(0, 400)
  switch (errorName(error)) {
    case 'PineconeBadRequestError':
    case 'PineconeArgumentError':
    case 'PineconeUnprocessableEntityError':
    case 'PineconeUnmappedHttpError':
      return new Refused({ code: 'vector_store_refused', message: `Pinecone refused ${doing}: ${text}` })
    case 'PineconeNotFoundError':
      return new Missing({
        code: 'collection_gone',
        message: `Pinecone has no such index or namespace any more (${doing}): ${text}`,
        hint: 'Start the pipeline again to make it anew, and replay it to fill it.',
      })
    default:
      return new Retryable({
        code: 'vectors_unavailable',
        message: `Pinecone cannot be reached (${doing}): ${innermost(error)}`,
        hint: 'Check the network, and `vectors.pinecone.host` if it is set.',
      })
  }
}

export function isNotFound(error: unknown): boolean {
  return errorName(error) === 'PineconeNotFoundError'
}

function detail({ code, message, hint }: MillraceError, doing: string) {
  return { code, message: `${message.replace(/\.$/, '')} (${doing}).`, hint }
}

/** The SDK wraps what `fetch` throws. */
function ourError(error: unknown): MillraceError | undefined {
  if (error instanceof MillraceError) return error
  return error instanceof Error && error.cause !== undefined ? ourError(error.cause) : undefined
}

function innermost(error: unknown): string {
  if (error instanceof Error && error.cause instanceof Error) return innermost(error.cause)
  return errorMessage(error).slice(0, 400)
}

function errorName(error: unknown): string | undefined {
  return error instanceof Error ? error.name : undefined
}
