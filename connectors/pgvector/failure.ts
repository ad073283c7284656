import { errorCode, errorMessage, Fatal, MillraceError, Retryable } from '../../src/core/errors.ts'

/**
 * SQLSTATE classes and codes by what they mean here (PostgreSQL, Appendix A): connections, resources, serialisation,
 * operator intervention.
 */
const passing = /^(08|53|57|40|55P03|25006|XX000)/
const refused = /^(28|3D000|42501|3F000)/

/** An error of PostgreSQL, or of the way to it, as one of ours. */
export function storeFailure(doing: string, error: unknown): MillraceError {
  if (error instanceof MillraceError) return error
  const code = errorCode(error) ?? ''
  if (refused.test(code)) {
    return new Fatal({
      code: 'vectors_refused',
      message: `PostgreSQL refuses ${doing}: ${text(error)}. Check the user, password and database in vectors.pgvector.url, and what that user may do.`,
      cause: error,
    })
  }
  const isServers = /^[0-9A-Z]{5}$/.test(code)
  if (isServers && !passing.test(code)) {
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
