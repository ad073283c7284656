import { RejectedRows } from '../../src/core/analytics.ts'
import { errorMessage, Fatal, InvalidInput, MillraceError, Retryable } from '../../src/core/errors.ts'

/** ClickHouse's own names of errors that the inserted values caused. */
const badRows = new Set([
  'ARGUMENT_OUT_OF_BOUND',
  'CANNOT_CONVERT_TYPE',
  'CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN',
  'DECIMAL_OVERFLOW',
  'INCORRECT_DATA',
  'INCORRECT_NUMBER_OF_COLUMNS',
  'INVALID_JSON_PATH',
  'SIZES_OF_ARRAYS_DONT_MATCH',
  'TOO_LARGE_ARRAY_SIZE',
  'TOO_LARGE_STRING_SIZE',
  'TYPE_MISMATCH',
  'UNKNOWN_ELEMENT_OF_ENUM',
  'UNEXPECTED_DATA_AFTER_PARSED_VALUE',
  'VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE',
  'VIOLATED_CONSTRAINT',
])
const badRowPattern = /^CANNOT_(PARSE|READ_ARRAY|READ_MAP|READ_ALL_DATA)/

/** Errors that an operator has to resolve before a repeated insert can succeed. */
const fatal = new Set([
  'ACCESS_DENIED',
  'AUTHENTICATION_FAILED',
  'ILLEGAL_COLUMN',
  'ILLEGAL_TYPE_OF_ARGUMENT',
  'NO_SUCH_COLUMN_IN_TABLE',
  'NOT_IMPLEMENTED',
  'READONLY',
  'REQUIRED_PASSWORD',
  'SUPPORT_IS_DISABLED',
  'SYNTAX_ERROR',
  'UNKNOWN_DATABASE',
  'UNKNOWN_FUNCTION',
  'UNKNOWN_IDENTIFIER',
  'UNKNOWN_SETTING',
  'UNKNOWN_TABLE',
  'UNKNOWN_TYPE',
  'UNKNOWN_USER',
  'WRONG_PASSWORD',
])

const longestMessage = 500

/** What ClickHouse said, taken out of its wrapping. */
export interface ServerError {
  /** ClickHouse's name of the error, such as `TYPE_MISMATCH`; undefined if it is not ClickHouse that speaks. */
  readonly type: string | undefined
  readonly message: string
  /** Index of the row it blames. */
  readonly row: number | undefined
}

export function serverError(error: unknown): ServerError {
  const own = errorMessage(error)
  const wrapped = error instanceof Error && error.cause instanceof Error ? error.cause.message : own
  const type = wrapped.match(/\(([A-Z][A-Z0-9_]{2,})\)\s*$/)?.[1] ?? property(error, 'type')
  const line = wrapped.match(/at row (\d+)/)?.[1]
  return { type, message: shorten(wrapped), row: line === undefined ? undefined : Number(line) - 1 }
}

/** An error of a write, in the class that decides what happens. `what` says what was tried. */
export function writeError(error: unknown, what: string): MillraceError {
  if (error instanceof MillraceError) return error
  const { type, message, row } = serverError(error)
  const detail = { message: `ClickHouse: ${what}: ${message}`, cause: error }
  if (type === 'NOT_ENOUGH_SPACE' || /No space left on device/i.test(message)) {
    return new Retryable({ ...detail, code: 'disk_full', hint: 'free some space on its disk and it goes on' })
  }
  if (/Read-only file system|Permission denied/i.test(message)) {
    return new Retryable({ ...detail, code: 'data_read_only', hint: 'make its folder writable and it goes on' })
  }
  if (type === undefined) return new Retryable({ ...detail, code: 'clickhouse_unavailable' })
  if (badRows.has(type) || badRowPattern.test(type)) {
    return new RejectedRows({ code: `clickhouse_${type.toLowerCase()}`, message, row, cause: error })
  }
  if (fatal.has(type)) return new Fatal({ ...detail, code: `clickhouse_${type.toLowerCase()}` })
  return new Retryable({ ...detail, code: `clickhouse_${type.toLowerCase()}` })
}

/** An error of a definition of a table: what is not a passing state of the server is wrong in the pipeline. */
export function definitionError(error: unknown, what: string): MillraceError {
  const mapped = writeError(error, what)
  if (!(mapped instanceof RejectedRows)) return mapped
  return new Fatal({ code: mapped.code, message: `ClickHouse: ${what}: ${mapped.message}`, cause: error })
}

const tooLarge = new Set(['TOO_MANY_ROWS_OR_BYTES', 'MEMORY_LIMIT_EXCEEDED', 'TIMEOUT_EXCEEDED', 'TOO_SLOW'])
const notAllowed = new Set(['ACCESS_DENIED', 'READONLY'])

/** An error of a user's query. */
export function queryError(error: unknown): MillraceError {
  if (error instanceof MillraceError) return error
  const { type, message } = serverError(error)
  if (type === undefined) {
    return new Retryable({
      code: 'clickhouse_unavailable',
      message: `ClickHouse cannot be asked: ${message}`,
      cause: error,
    })
  }
  if (notAllowed.has(type)) return new InvalidInput({ code: 'query_not_allowed', message, cause: error })
  if (tooLarge.has(type)) {
    const hint = 'Ask for less: add a LIMIT, a narrower WHERE, or aggregate.'
    return new InvalidInput({ code: 'query_too_large', message: `${message} ${hint}`, hint, cause: error })
  }
  if (type === 'QUERY_WAS_CANCELLED') return new InvalidInput({ code: 'query_cancelled', message, cause: error })
  return new InvalidInput({ code: 'query_failed', message, hint: type, cause: error })
}

function property(value: unknown, name: 'type'): string | undefined {
  if (typeof value !== 'object' || value === null || !(name in value)) return undefined
  return typeof value[name] === 'string' ? value[name] : undefined
}

/** One line: without the exception's wrapping, the engine's version and the dump of the row. */
function shorten(text: string): string {
  const said = text
    .replace(/^(Code: \d+\. DB::Exception: )+/, '')
    .replace(/ ?\(version [^)]*\)/g, '')
    .replace(/^std::exception\. Code: \d+, type: [^,]+, e\.what\(\) = /, '')
    .replace(/ ?Cannot print extra info for Poco::Exception\.?/, '')
    .replace(/\s*(\([A-Z][A-Z0-9_]{2,}\)[.\s]*)+$/, '')
    .replace(/: \(at row \d+\)[\s\S]*$/, '')
    .replace(/: While executing [\s\S]*$/, '')
    .replace(/\s+/g, ' ')
    .trim()
  return said.length > longestMessage ? `${said.slice(0, longestMessage)}…` : said
}
