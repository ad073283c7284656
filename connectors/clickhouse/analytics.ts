import { setImmediate } from 'node:timers/promises'
import type { Analytics, QueryResult, TableSpec } from '../../src/core/analytics.ts'
import type { Json, JsonObject } from '../../src/core/event.ts'
import { type Engine, insertBody, type Parameters, type QueryLimits, selectRows } from './engine.ts'
import { queryError, writeError } from './errors.ts'
import { readOnlyQuery } from './guard.ts'
import { toQueryResult } from './results.ts'
import type { ServerOptions } from './server.ts'
import { quoteName, quoteString } from './sql.ts'
import { ensureTable } from './tables.ts'

export type AnalyticsOptions = (
  | {
      /** The folder of chDB's data: ClickHouse in this process. */
      readonly embedded: string
    }
  | ServerOptions
) & { readonly limits?: Partial<QueryLimits> | undefined }

const defaultLimits: QueryLimits = { timeMs: 30_000, rows: 10_000, memoryBytes: 1024 * 1024 * 1024 }

/** Opens ClickHouse: in the process or a server. Throws `Fatal` if chDB is not installed or its folder is in use. */
export async function openAnalytics(options: AnalyticsOptions): Promise<Analytics> {
  const limits = { ...defaultLimits, ...options.limits }
  if ('embedded' in options) {
    const { openEmbedded } = await import('./embedded.ts')
    return new ClickHouse(await openEmbedded(options.embedded, limits))
  }
  const { openServer } = await import('./server.ts')
  return new ClickHouse(openServer(options, limits))
}

/**
 * Settings of every insert. It is one block of one parser in one thread, so it is taken as a whole or not at all, and
 * ClickHouse counts rows as we do. The token makes the server drop a repetition.
 */
const insertSettings = {
  async_insert: 0,
  insert_deduplicate: 1,
  input_format_parallel_parsing: 0,
  max_insert_threads: 1,
  max_insert_block_size: 10_000_000,
  max_partitions_per_insert_block: 0,
  min_insert_block_size_rows: 10_000_000,
  min_insert_block_size_bytes: 0,
  insert_allow_materialized_columns: 1,
  input_format_null_as_default: 1,
  date_time_input_format: quoteString('best_effort'),
}

class ClickHouse implements Analytics {
  readonly #engine: Engine

  constructor(engine: Engine) {
    this.#engine = engine
  }

  async ensureTable(spec: TableSpec): Promise<void> {
    await ensureTable(this.#engine, spec)
  }

  async insert(table: string, rows: readonly JsonObject[], token: string): Promise<void> {
    if (rows.length === 0) return
    const names = columnNames(rows)
    const settings = Object.entries({ ...insertSettings, insert_deduplication_token: quoteString(token) })
    const sql = [
      `INSERT INTO ${quoteName(this.#engine.database)}.${quoteName(table)} (${names.map(quoteName).join(', ')})`,
      `SETTINGS ${settings.map(([name, value]) => `${name} = ${value}`).join(', ')}`,
      'FORMAT JSONCompactEachRow',
    ].join(' ')
    const body = await compactRows(rows, names)
    try {
      await this.#engine.write((client) => insertBody(client, sql, body))
    } catch (error) {
      throw writeError(error, `insert into ${table}`)
    }
  }

  async query(sql: string, params?: Parameters, signal?: AbortSignal): Promise<QueryResult> {
    const checked = readOnlyQuery(sql)
    try {
      return toQueryResult(await this.#engine.read(checked, params, signal))
    } catch (error) {
      signal?.throwIfAborted()
      throw queryError(error)
    }
  }

  /** Of `upsert` tables the rows that a query sees are counted; the bytes are what the tables take on the disk. */
  async tables(): Promise<readonly { readonly name: string; readonly rows: number; readonly bytes: number }[]> {
    const database = quoteString(this.#engine.database)
    const where = `database = ${database} AND engine LIKE '%MergeTree' ORDER BY name`
    const stored = await this.#engine
      .administer((client) =>
        selectRows(client, `SELECT name, engine, total_rows, total_bytes FROM system.tables WHERE ${where}`),
      )
      .catch((error: unknown) => {
        throw queryError(error)
      })
    const tables = []
    for (const [name, engine, rows, bytes] of stored) {
      const text = String(name)
      const counted = String(engine).includes('Replacing') ? await this.#count(text) : Number(rows)
      tables.push({ name: text, rows: counted, bytes: Number(bytes) })
    }
    return tables
  }

  async #count(table: string): Promise<number> {
    const { rows } = await this.query(
      `SELECT count() AS rows FROM ${quoteName(this.#engine.database)}.${quoteName(table)}`,
    )
    return Number(rows[0]?.rows)
  }

  async close(): Promise<void> {
    await this.#engine.close()
  }
}

/** All names that occur; nearly always those of the first row. */
function columnNames(rows: readonly JsonObject[]): string[] {
  const names = new Set<string>()
  for (const row of rows) for (const name in row) names.add(name)
  return [...names]
}

/** Rows that are encoded at a stretch: some milliseconds, after which others have their turn. */
const stretch = 2_000

/** A row a line. A column that a row lacks is null, which ClickHouse takes as the column's default. */
async function compactRows(rows: readonly JsonObject[], names: readonly string[]): Promise<string> {
  let body = ''
  const values: Json[] = new Array(names.length).fill(null)
  for (const [index, row] of rows.entries()) {
    if (index > 0 && index % stretch === 0) await setImmediate()
    names.forEach((name, at) => {
      values[at] = row[name] ?? null
    })
    body += `${JSON.stringify(values)}\n`
  }
  return body
}
