import { Readable } from 'node:stream'
import type { ClickHouseClient, ClickHouseSettings } from '@clickhouse/client'
import type { Json } from '../../src/core/event.ts'

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
  readonly database: string
  /** Settings of the tables that are made here, beyond those every table has. */
  readonly tableSettings: Readonly<Record<string, number>>
  /** With all rights: definitions and what they need to know. */
  administer<T>(work: (client: ClickHouseClient) => Promise<T>): Promise<T>
  /** With all rights, beside definitions and queries. */
  write<T>(work: (client: ClickHouseClient) => Promise<T>): Promise<T>
  /** With the right to read the tables, within the limits. */
  read(sql: string, params: Parameters | undefined, signal: AbortSignal | undefined): Promise<CompactResult>
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

/** Runs an INSERT whose rows are the body. */
export async function insertBody(client: ClickHouseClient, sql: string, body: string): Promise<void> {
  const values = Readable.from([body], { objectMode: false })
  const { stream } = await client.exec({ query: sql, values })
  for await (const _ of stream);
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
