import { errorMessage, Fatal, MillraceError, Retryable } from '../../src/core/errors.ts'

/** What no repetition helps against: the server has refused who we are or what we may do. */
const refusals = /^(?:WRONGPASS|NOAUTH|NOPERM|DENIED)\b|ERR AUTH|ERR unknown command/

/**
 * An error of the client or the server as one of ours. What is not a refusal is taken for a server that is away, busy, loading
 * or in the midst of a failover. `doing` completes "Redis could not ...".
 */
export function redisError(error: unknown, doing: string): MillraceError {
  if (error instanceof MillraceError) return error
  const message = errorMessage(error)
  if (refusals.test(message)) {
    return new Fatal({
      code: 'redis_refused',
      message: `Redis could not ${doing}: ${message}`,
      hint: 'Check username, password and the permissions of that user under `redis:` in millrace.yaml.',
      cause: error,
    })
  }
  return new Retryable({
    code: 'redis_unavailable',
    message: `Redis could not ${doing}: ${message}`,
    hint: 'Check that the server is up and that its address under `redis:` in millrace.yaml is right.',
    cause: error,
  })
}
