import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { ClickHouseClient, ClickHouseSettings } from '@clickhouse/client'
import type { Json } from '../../src/core/event.ts'
import { RefusedRequest } from './errors.ts'

export interface QueryLimits {
  /** Milliseconds that a query may take. */
  readonly timeMs: number
  /** Rows that a result may have. */
  readonly rows: number
  /** Bytes of memory that one query may use. */
  readonly memoryBytes: number
}

/** What the client answers in the format `JSONCompact`. */
export interface CompactResult {
  readonly meta: readonly { readonly name: string; readonly type: string }[]
  readonly data: readonly (readonly Json[])[]
}

export type Parameters = Readonly<Record<string, Json>>

/** ClickHouse as the analytics use it: what differs between the engine in the process and a server, and no more. */
export interface Engine {
  /** As messages name it, such as `ClickHouse at https://clickhouse.example:8443`. */
  readonly name: string
  readonly database: string
  /** The cluster that tables are made on; undefined for a single server. */
  readonly cluster: string | undefined
  /** Whether others write to it as well. */
  readonly shared: boolean
  /** Settings of the tables that are made here, beyond those every table has. */
  readonly tableSettings: Readonly<Record<string, number>>
  /** With all rights: definitions and what they need to know. */
  administer<T>(work: (client: ClickHouseClient) => Promise<T>): Promise<T>
  /** With all rights, beside definitions and queries. */
  write<T>(work: (client: ClickHouseClient) => Promise<T>): Promise<T>
  /**
   * With the right to read the tables, within the limits. `filters` is the value of `additional_table_filters`, without
   * which nothing is read: throws `Fatal` (`row_filter_not_applied`) where it does not arrive.
   */
  read(
    sql: string,
    params: Parameters | undefined,
    signal: AbortSignal | undefined,
    filters: string | undefined,
  ): Promise<CompactResult>
  close(): Promise<void>
}

/** What a result must look like, whoever runs the query: nothing is rounded, and of `upsert` tables the newest rows count. */
export const readSettings = {
  final: 1,
  output_format_json_quote_64bit_integers: 1,
  output_format_json_quote_decimals: 1,
} satisfies ClickHouseSettings

export function limitSettings(limits: QueryLimits): Record<string, string> {
  return {
    max_execution_time: String(limits.timeMs / 1000),
    timeout_overflow_mode: 'throw',
    max_result_rows: String(limits.rows),
    max_result_bytes: String(64 * 1024 * 1024),
    result_overflow_mode: 'throw',
    max_memory_usage: String(limits.memoryBytes),
    max_threads: '2',
  }
}

export async function selectRows(client: ClickHouseClient, sql: string): Promise<CompactResult['data']> {
  const result = await client.query({ query: sql, format: 'JSONCompact' })
  return compactResult(await result.json()).data
}

/**
 * Runs a statement that answers no rows, such as an INSERT whose rows are `body`, and reads its answer to the end: only then is it
 * known to be done. Throws `RefusedRequest` for an answer that says no, even after a status that said yes.
 */
export async function execute(client: ClickHouseClient, sql: string, body?: readonly Buffer[]): Promise<void> {
  const values = body === undefined ? {} : { values: Readable.from(body, { objectMode: false }) }
  const answer = await client.exec({ query: sql, ignore_error_response: true, ...values })
  const said = await text(answer.stream)
  const status = answer.http_status_code ?? 200
  const refused = status < 200 || status > 299 || answer.response_headers['x-clickhouse-exception-code'] !== undefined
  const late = refused ? undefined : lateException(said)
  if (!refused && late === undefined) return
  const seconds = Number(answer.response_headers['retry-after'])
  const wait = seconds > 0 ? Math.min(seconds, longestWaitSeconds) * 1000 : undefined
  throw new RefusedRequest(status, late ?? said, wait)
}

const longestWaitSeconds = 60

/** An error that came up when the answer had begun stands in the answer, at the beginning of a line, where JSON has none. */
function lateException(answer: string): string | undefined {
  return /(?:^|\n)(?:__exception__[^C]*)?(Code: \d+\. DB::Exception: [\s\S]*?)(?:\n\d+ \w+\s+__exception__\s*)?$/.exec(
    answer,
  )?.[1]
}

/** The rows of an answer in the format `JSONCompact`. Throws the error that came in place of the rest. */
export function parsedResult(answer: string): CompactResult {
  const late = lateException(answer)
  if (late !== undefined) throw new RefusedRequest(200, late, undefined)
  return compactResult(JSON.parse(answer))
}

/** Narrows what a client answered. */
export function compactResult(answer: unknown): CompactResult {
  if (!isCompactResult(answer)) throw new Error('the answer has no rows')
  return answer
}

function isCompactResult(answer: unknown): answer is CompactResult {
  if (typeof answer !== 'object' || answer === null) return false
  return 'meta' in answer && Array.isArray(answer.meta) && 'data' in answer && Array.isArray(answer.data)
}
