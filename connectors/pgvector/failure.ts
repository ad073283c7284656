import { errorCode, errorMessage, Fatal, MillraceError, Retryable } from '../../src/core/errors.ts'
import { Refused } from '../../src/core/vector-writes.ts'

/**
 * SQLSTATE classes and codes by what they mean here (PostgreSQL, Appendix A): connections, resources, serialisation,
 * operator intervention.
 */
const passing = /^(08|53|57|40|55P03|25006|XX000)/
const unauthorized = /^(28|3D000|42501|3F000)/
const missingTable = '42P01'
/** Values, and sizes of values, that can never be stored. */
const impossible = /^(22|54)/

/** An error of PostgreSQL, or of the way to it, as one of ours. */
export function storeFailure(doing: string, error: unknown): MillraceError {
  if (error instanceof MillraceError) return error
  const code = errorCode(error) ?? ''
  if (unauthorized.test(code) || hasNoPassword(error)) {
    return new Fatal({
      code: 'vectors_refused',
      message: `PostgreSQL refuses ${doing}: ${text(error)}. Check the user, password and database in vectors.pgvector.url, and what that user may do.`,
      cause: error,
    })
  }
  if (code === missingTable) return collectionGone(doing)
  if (impossible.test(code)) {
    return new Refused({
      code: 'vector_store_refused',
      message: `PostgreSQL refused ${doing} (${code}): ${text(error)}`,
    })
  }
  if (isAnswer(error) && !passing.test(code)) {
    return new Retryable({
      code: 'vector_store_failed',
      message: `PostgreSQL failed ${doing} (${code}): ${text(error)}`,
      cause: error,
    })
  }
  return new Retryable({
    code: code === '53100' ? 'disk_full' : 'vectors_unavailable',
    message: `PostgreSQL is not available for ${doing}: ${text(error)}. It is tried again.`,
    cause: error,
  })
}

export function collectionGone(doing: string): Fatal {
  return new Fatal({
    code: 'collection_gone',
    message: `PostgreSQL has no such collection any more (${doing}).`,
    hint: 'Start the pipeline again to make it anew, and replay it to fill it.',
  })
}

/** Whether the server has said so, as opposed to a connection that was lost or a statement that was never answered. */
export function isAnswer(error: unknown): boolean {
  return /^[0-9A-Z]{5}$/.test(errorCode(error) ?? '')
}

/** The server asks for a password, and none was given: the driver says so in words only. */
function hasNoPassword(error: unknown): boolean {
  return /password must be a (non-empty )?string/.test(errorMessage(error))
}

/** Whether another transaction was in the way: the same statement again succeeds. */
export function isConflict(error: unknown): boolean {
  return ['40001', '40P01'].includes(errorCode(error) ?? '')
}

/** Node reports a refused connection to a name with several addresses without a message. */
function text(error: unknown): string {
  const [first] = error instanceof AggregateError ? error.errors : []
  const message = errorMessage(first ?? error)
  const [line = ''] = message.split('\n')
  return line.slice(0, 400)
}
