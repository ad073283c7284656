import { RejectedRows } from '../../src/core/analytics.ts'
import { errorCode, errorMessage, Fatal, InvalidInput, MillraceError, Retryable } from '../../src/core/errors.ts'
import { rulings } from './verdicts.ts'

/** An answer that says no, as it came over HTTP. */
export class RefusedRequest extends Error {
  readonly status: number
  /** Milliseconds that the other side asked to wait. */
  readonly retryAfterMs: number | undefined
  constructor(status: number, message: string, retryAfterMs: number | undefined) {
    super(message)
    this.status = status
    this.retryAfterMs = retryAfterMs
  }
}

const longestMessage = 500

/** What ClickHouse said, taken out of its wrapping. */
export interface ServerError {
  /** ClickHouse's name of the error, such as `TYPE_MISMATCH`; undefined if it is not ClickHouse that speaks. */
  readonly type: string | undefined
  readonly message: string
  /** Index of the row it blames. */
  readonly row: number | undefined
  /** The materialized view that failed when the table itself had taken the rows. */
  readonly view: string | undefined
}

export function serverError(error: unknown): ServerError {
  const own = errorMessage(error)
  const wrapped = error instanceof Error && error.cause instanceof Error ? error.cause.message : own
  const said = wrapped.replace(/(\s*\(version [^)]*(\([^)]*\))?\))+\s*$/, '')
  const type = said.match(/\(([A-Z][A-Z0-9_]{2,})\)[.\s]*$/)?.[1] ?? property(error, 'type')
  const line = said.match(/at row (\d+)/)?.[1]
  const view = said.match(/while pushing to view (\S+?)[.:,]?(?:\s|$)/)?.[1]
  return { type, message: shorten(said), row: line === undefined ? undefined : Number(line) - 1, view }
}

/**
 * An error of a write, in the class that decides what happens. `where` names the server, `what` says what was tried. An
 * insert whose answer is unknown is worth another try: its token makes a repetition harmless. So is an error that
 * is not known here, since nothing is lost by that.
 */
export function writeError(error: unknown, where: string, what: string): MillraceError {
  return ruled(error, where, what) ?? unknownError(error, where, what)
}

/** An error of a definition of a table: what is not a passing state of the server is wrong in the pipeline. */
export function definitionError(error: unknown, where: string, what: string): MillraceError {
  const mapped = ruled(error, where, what)
  if (mapped !== undefined && !(mapped instanceof RejectedRows)) return mapped
  const { type, message } = serverError(error)
  return new Fatal({ code: codeOf(type), message: `${where}: ${what}: ${message}`, cause: error })
}

const tooLarge = new Set(['TOO_MANY_ROWS_OR_BYTES', 'MEMORY_LIMIT_EXCEEDED', 'TIMEOUT_EXCEEDED', 'TOO_SLOW'])
const notAllowed = new Set(['ACCESS_DENIED', 'READONLY'])
const notOfCaller = new Set(['AUTHENTICATION_FAILED', 'REQUIRED_PASSWORD', 'UNKNOWN_USER', 'WRONG_PASSWORD'])

/** An error of a user's query. */
export function queryError(error: unknown, where: string): MillraceError {
  if (error instanceof MillraceError) return error
  const { type, message } = serverError(error)
  if (type === undefined || notOfCaller.has(type)) return writeError(error, where, 'query')
  if (notAllowed.has(type)) return new InvalidInput({ code: 'query_not_allowed', message, cause: error })
  if (tooLarge.has(type)) {
    const hint = 'Ask for less: add a LIMIT, a narrower WHERE, or aggregate.'
    return new InvalidInput({ code: 'query_too_large', message: `${message} ${hint}`, hint, cause: error })
  }
  if (type === 'QUERY_WAS_CANCELLED') return new InvalidInput({ code: 'query_cancelled', message, cause: error })
  // It says nothing about the query, but about the server.
  if (rulings.get(type)?.verdict === 'passing') return writeError(error, where, 'query')
  return new InvalidInput({ code: 'query_failed', message, hint: type, cause: error })
}

/** Undefined for what ClickHouse says and is not known here. */
function ruled(error: unknown, where: string, what: string): MillraceError | undefined {
  if (error instanceof MillraceError) return error
  const { type, message, row, view } = serverError(error)
  const detail = { message: `${where}: ${what}: ${message}`, cause: error }
  if (type === 'NOT_ENOUGH_SPACE' || /No space left on device/i.test(message)) {
    return new Retryable({ ...detail, code: 'disk_full', hint: 'free some space on its disk and it goes on' })
  }
  if (/Read-only file system|Permission denied/i.test(message)) {
    return new Retryable({ ...detail, code: 'data_read_only', hint: 'make its folder writable and it goes on' })
  }
  if (type === undefined) return unreachable(error, where, what, message)
  const ruling = rulings.get(type)
  const code = codeOf(type)
  // The table has the rows under this token: only the same insert again leaves them there once.
  if (view !== undefined && ruling?.verdict !== 'passing') {
    const hint = `its materialized view ${view} does not take what the table has taken: mend or drop the view and it goes on`
    return new Retryable({ ...detail, code: 'clickhouse_view_failed', hint })
  }
  const open = ruling === undefined || ruling.verdict === 'blamed'
  if (ruling?.verdict === 'row' || type.startsWith('CANNOT_PARSE_') || (open && row !== undefined)) {
    return new RejectedRows({ code, message, row, cause: error })
  }
  if (ruling === undefined) return undefined
  const { verdict, hint, delayMs } = ruling
  if (verdict === 'final') return new Fatal({ ...detail, code, hint })
  return new Retryable({ ...detail, code, hint, delayMs })
}

function unknownError(error: unknown, where: string, what: string): Retryable {
  const { type, message } = serverError(error)
  return new Retryable({ code: codeOf(type), message: `${where}: ${what}: ${message}`, cause: error })
}

/** Nobody is trusted, or nobody can be, until the settings or the certificates are others. */
const untrusted =
  /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_(VERIFY_LEAF_SIGNATURE|GET_ISSUER_CERT(_LOCALLY)?)|ERR_TLS_CERT_ALTNAME_INVALID|ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|TLSV13_ALERT_CERTIFICATE_REQUIRED|SSL\w*_ALERT_(UNKNOWN_CA|BAD_CERTIFICATE|HANDSHAKE_FAILURE))|ERR_OSSL_\w+|EPROTO)$/

/** Statuses of a proxy, or of a server that is no ClickHouse, that repeating does not change. */
const refusals: Readonly<Record<number, string>> = {
  401: 'what stands before ClickHouse wants another login',
  403: 'what stands before ClickHouse refuses this client',
  407: 'a proxy wants a login',
  413: 'a proxy takes no request of this size: raise its limit, or lower block.bytes',
}

/** It is not ClickHouse that speaks: the network, TLS, or a proxy. */
function unreachable(error: unknown, where: string, what: string, message: string): MillraceError {
  const code = errorCode(error)
  if (code !== undefined && untrusted.test(code)) {
    return new Fatal({
      code: 'clickhouse_tls',
      message: `${where}: ${what}: no secure connection: ${message}`,
      hint: 'check the scheme of clickhouse.url, and clickhouse.ca, clickhouse.cert and clickhouse.key',
      cause: error,
    })
  }
  const status = error instanceof RefusedRequest ? error.status : undefined
  const said = status === undefined ? message || code : `status ${status} ${message}`.trim()
  const detail = { message: `${where}: ${what}: ${said}`, cause: error }
  const hint = status === undefined ? undefined : refusals[status]
  if (hint !== undefined) return new Fatal({ ...detail, code: 'clickhouse_refused', hint })
  const delayMs = error instanceof RefusedRequest ? error.retryAfterMs : undefined
  return new Retryable({ ...detail, code: 'clickhouse_unavailable', delayMs })
}

function codeOf(type: string | undefined): string {
  return type === undefined ? 'clickhouse_unavailable' : `clickhouse_${type.toLowerCase()}`
}

function property(value: unknown, name: 'type'): string | undefined {
  if (typeof value !== 'object' || value === null || !(name in value)) return undefined
  return typeof value[name] === 'string' ? value[name] : undefined
}

/** One line: without the exception's wrapping, the engine's version and the dump of the row; of a page its text. */
function shorten(text: string): string {
  const said = text
    .replace(/^(Code: \d+\. DB::Exception: )+/, '')
    .replace(/ ?\(version [^)]*\)/g, '')
    .replace(/^std::exception\. Code: \d+, type: [^,]+, e\.what\(\) = /, '')
    .replace(/ ?Cannot print extra info for Poco::Exception\.?/, '')
    .replace(/\s*(\([A-Z][A-Z0-9_]{2,}\)[.\s]*)+$/, '')
    .replace(/: \(at row \d+\)[\s\S]*$/, '')
    .replace(/: While executing [\s\S]*$/, '')
    .replace(/^\s*<(!doctype|html)[\s\S]*$/i, (page) =>
      page.replace(/<(style|script|title)[\s\S]*?<\/\1>|<[^>]*>/gi, ' '),
    )
    .replace(/\s+/g, ' ')
    .trim()
  return said.length > longestMessage ? `${said.slice(0, longestMessage)}…` : said
}
