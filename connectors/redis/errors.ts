import { errorMessage, Fatal, MillraceError, Retryable } from '../../src/core/errors.ts'

/** What no repetition helps against: the server has refused who we are or what we may do, or a key holds something else. */
const refusals = new RegExp(
  [
    '^(?:WRONGPASS|NOAUTH|NOPERM|DENIED|WRONGTYPE)\\b',
    'ERR AUTH',
    'ERR unknown command',
    'ACL failure in script',
    'user executing the script',
    'Unknown Redis command called from script',
  ].join('|'),
)

/**
 * An error of the client or the server as one of ours. What is not a refusal is taken for a server that is away, busy, loading
 * or in the midst of a failover. `place` names the server; `trouble` is what the connection last ran into.
 */
export function redisError(error: unknown, place: string, trouble: string | undefined): MillraceError {
  if (error instanceof MillraceError) return error
  const said = errorMessage(error)
  const reason = trouble === undefined || isAnswer(error) ? said : trouble
  const message = `Redis, ${place}: ${reason}`
  if (refusals.test(reason)) {
    return new Fatal({
      code: 'redis_refused',
      message,
      hint: 'Check username, password and the permissions of that user under `redis:` in millrace.yaml.',
      cause: error,
    })
  }
  return new Retryable({
    code: 'redis_unavailable',
    message,
    hint: 'Check that the server is up and that its address under `redis:` in millrace.yaml is right.',
    cause: error,
  })
}

/** Whether the server itself has spoken; the client's own errors say little of why it has no connection. */
function isAnswer(error: unknown): boolean {
  return error instanceof Error && error.name === 'ReplyError'
}
