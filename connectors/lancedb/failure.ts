import { errorMessage, type MillraceError, Retryable } from '../../src/core/errors.ts'

/** An error of LanceDB as one of ours. Its messages carry source locations and causes by the line: the first says it. */
export function storeFailure(collection: string, doing: string, error: unknown): MillraceError {
  const text = errorMessage(error)
  if (/no space left|ENOSPC|os error 28\b/i.test(text)) {
    return new Retryable({
      code: 'disk_full',
      message: `The disk is full: collection "${collection}" cannot be written. Free some space and it goes on.`,
      cause: error,
    })
  }
  const [line = text] = text.split('\n')
  return new Retryable({
    code: 'vector_store_failed',
    message: `LanceDB failed ${doing} collection "${collection}": ${line.slice(0, 400)}`,
    cause: error,
  })
}
