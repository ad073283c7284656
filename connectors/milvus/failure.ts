import { errorMessage, Fatal, type MillraceError, Retryable } from '../../src/core/errors.ts'
import { Refused } from '../../src/core/vector-writes.ts'

/** What every answer of Milvus says of how it went. */
export interface Status {
  readonly error_code: string | number
  readonly code?: number
  readonly reason: string
}

/** Codes of Milvus, from its `merr` package, that its answers and the tests of this file rely on. */
const codes = {
  collectionNotFound: 100,
  collectionNotLoaded: 101,
  /** Requests or bytes of a second, and what the server has room for. */
  rateLimit: 8,
  noRoom: [3, 7, 9, 12],
  databaseNotFound: 800,
  privileges: [1400, 1401, 1402],
  parameters: [1100, 1101, 1102, 1103, 1104, 1105],
} as const
/** What Milvus Lite and servers before 2.3 say in its place. */
const illegalArgument = 6
/** Milliseconds to wait at least. */
const rateLimitDelayMs = 1_000
const noRoomDelayMs = 5_000
/** Status codes of gRPC. */
const grpc = {
  resourceExhausted: 8,
  invalidArgument: 3,
  permissionDenied: 7,
  outOfRange: 11,
  unauthenticated: 16,
} as const

/** The collection is not in memory: someone released it, or the server was started again. */
export class NotLoaded extends Retryable {}

export function succeeded({ error_code, code = 0 }: Status): boolean {
  return (error_code === 'Success' || error_code === 0) && code === 0
}

/** The status that an answer is or has, if it has one. */
export function statusOf(answer: unknown): Status | undefined {
  if (typeof answer !== 'object' || answer === null) return undefined
  if ('status' in answer) return statusOf(answer.status)
  if (!('error_code' in answer) || !('reason' in answer) || typeof answer.reason !== 'string') return undefined
  const { error_code, reason } = answer
  if (typeof error_code !== 'string' && typeof error_code !== 'number') return undefined
  const code = 'code' in answer && typeof answer.code === 'number' ? answer.code : 0
  return { error_code, code, reason }
}

export function isMissingCollection(status: Status): boolean {
  return status.code === codes.collectionNotFound || status.error_code === 'CollectionNotExists'
}

/** A failure of a call, thrown or answered, as one of our errors. `where`: the server's address. */
export function milvusFailure(where: string, doing: string, error: unknown): MillraceError {
  const status = statusOf(error)
  if (status !== undefined) return answeredFailure(where, doing, status)
  const text = firstLine(errorMessage(error))
  switch (grpcCode(error)) {
    case grpc.unauthenticated:
    case grpc.permissionDenied:
      return unauthorized(where, doing, text)
    case grpc.invalidArgument:
    case grpc.outOfRange:
      return new Refused({ code: 'vector_store_refused', message: `Milvus at ${where} refused ${doing}: ${text}` })
    case grpc.resourceExhausted:
      return busy(where, doing, text, rateLimitDelayMs)
    default:
      return new Retryable({
        code: 'vectors_unavailable',
        message: `Milvus at ${where} cannot be reached (${doing}): ${text}`,
        hint: 'Check that it runs and that `vectors.milvus.address` and `ssl` are right.',
      })
  }
}

function answeredFailure(where: string, doing: string, status: Status): MillraceError {
  const { code = 0, reason } = status
  const text = firstLine(reason)
  if (codes.privileges.some((each) => each === code)) return unauthorized(where, doing, text)
  if (code === codes.rateLimit || status.error_code === 'RateLimit') return busy(where, doing, text, rateLimitDelayMs)
  if (codes.noRoom.some((each) => each === code)) return busy(where, doing, text, noRoomDelayMs)
  if (isMissingCollection(status)) {
    return new Fatal({
      code: 'collection_gone',
      message: `Milvus at ${where} has no such collection any more (${doing}): ${text}`,
      hint: 'Start the pipeline again to make it anew, and replay it to fill it.',
    })
  }
  if (code === codes.collectionNotLoaded) {
    return new NotLoaded({ code: 'vectors_unavailable', message: `Milvus at ${where} failed ${doing}: ${text}` })
  }
  if (code === codes.databaseNotFound) {
    return new Fatal({
      code: 'database_not_found',
      message: `Milvus at ${where} has no such database (${doing}): ${text}`,
      hint: 'Create it, or name another with `vectors.milvus.database`.',
    })
  }
  if (code === illegalArgument || codes.parameters.some((each) => each === code)) {
    return new Refused({ code: 'vector_store_refused', message: `Milvus at ${where} refused ${doing}: ${text}` })
  }
  return new Retryable({ code: 'vectors_unavailable', message: `Milvus at ${where} failed ${doing}: ${text}` })
}

function busy(where: string, doing: string, text: string, delayMs: number): Retryable {
  return new Retryable({
    code: 'vectors_unavailable',
    message: `Milvus at ${where} takes no more for now (${doing}): ${text}`,
    delayMs,
  })
}

function unauthorized(where: string, doing: string, text: string): Fatal {
  return new Fatal({
    code: 'vectors_unauthorized',
    message: `Milvus at ${where} does not let this user in (${doing}): ${text}`,
    hint: 'Check `vectors.milvus.token`, or `username` and `password`, and what that user may do.',
  })
}

function grpcCode(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'number' ? error.code : undefined
}

function firstLine(text: string): string {
  return (text.split('\n')[0] ?? text).slice(0, 400)
}
