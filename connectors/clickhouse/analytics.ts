import { setImmediate } from 'node:timers/promises'
import type { Analytics, QueryResult, TableSpec } from '../../src/core/analytics.ts'
import { readOnlyQuery } from '../../src/core/clickhouse/read-only.ts'
import { quoteName, quoteString } from '../../src/core/clickhouse/sql.ts'
import type { Json, JsonObject } from '../../src/core/event.ts'
import type { RowFilter } from '../../src/core/principal.ts'
import { Changes, versionsOf } from './changes.ts'
import { frontOf, shardOf, shardsOf } from './cluster.ts'
import { type Engine, execute, type Parameters, type QueryLimits, selectRows } from './engine.ts'
import { queryError, writeError } from './errors.ts'
import { toQueryResult } from './results.ts'
import { type TableFilters, tableFilters } from './row-filter.ts'
import type { ServerOptions } from './server.ts'
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
  return new ClickHouse(await openServer(options, limits))
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
  // Where a table is Distributed, an insert that is answered is in its shards, not only on the way.
  insert_distributed_sync: 1,
  date_time_input_format: quoteString('best_effort'),
}

class ClickHouse implements Analytics {
  readonly #engine: Engine
  readonly #changes: Changes
  /** Of the cluster, as it was when a table was last looked at. */
  #shards: Promise<number> | undefined

  constructor(engine: Engine) {
    this.#engine = engine
    this.#changes = new Changes(engine.shared ? (tables) => versionsOf(engine, tables) : undefined)
  }

  async ensureTable(spec: TableSpec): Promise<void> {
    this.#shards = undefined
    await ensureTable(this.#engine, spec)
  }

  async insert(table: string, rows: readonly JsonObject[], token: string): Promise<void> {
    if (rows.length === 0) return
    const names = columnNames(rows)
    const body = await compactRows(rows, names)
    try {
      const settings = Object.entries({
        ...insertSettings,
        ...(await this.#shardSettings(names, token)),
        insert_deduplication_token: quoteString(token),
      })
      const sql = [
        `INSERT INTO ${quoteName(this.#engine.database)}.${quoteName(table)} (${names.map(quoteName).join(', ')})`,
        `SETTINGS ${settings.map(([name, value]) => `${name} = ${value}`).join(', ')}`,
        'FORMAT JSONCompactEachRow',
      ].join(' ')
      await this.#engine.write((client) => execute(client, sql, body))
      this.#changes.changed(table)
    } catch (error) {
      throw writeError(error, this.#engine.name, `insert into ${table}`)
    }
  }

  /** Rows with ids find their shards by id, the others all go to one; see cluster.ts. */
  async #shardSettings(names: readonly string[], token: string): Promise<{ readonly insert_shard_id?: number }> {
    const { cluster } = this.#engine
    if (cluster === undefined || names.includes('_id')) return {}
    this.#shards ??= this.#engine
      .administer((client) => shardsOf(client, this.#engine, cluster))
      .catch((error: unknown) => {
        this.#shards = undefined
        throw error
      })
    return { insert_shard_id: shardOf(token, await this.#shards) }
  }

  async query(sql: string, params?: Parameters, signal?: AbortSignal, rows?: RowFilter): Promise<QueryResult> {
    const checked = readOnlyQuery(sql)
    let filters: TableFilters | undefined
    try {
      if (rows !== undefined) filters = await tableFilters(this.#engine, checked, rows)
      return toQueryResult(await this.#engine.read(checked, params, signal, filters?.setting))
    } catch (error) {
      signal?.throwIfAborted()
      throw queryError(filters?.explain(error) ?? error, this.#engine.name)
    }
  }

  /** Of `upsert` tables the rows that a query sees are counted; the bytes are what the tables take on the disk. */
  async tables(): Promise<readonly { readonly name: string; readonly rows: number; readonly bytes: number }[]> {
    const { database, cluster } = this.#engine
    const source = cluster === undefined ? 'system.tables' : `cluster(${quoteString(cluster)}, system.tables)`
    const sql = [
      'SELECT name, any(engine), sum(total_rows), sum(total_bytes)',
      `FROM ${source} WHERE database = ${quoteString(database)} AND engine LIKE '%MergeTree' GROUP BY name ORDER BY name`,
    ].join(' ')
    const stored = await this.#engine
      .administer((client) => selectRows(client, sql))
      .catch((error: unknown) => {
        throw queryError(error, this.#engine.name)
      })
    const tables = []
    for (const [name, engine, rows, bytes] of stored) {
      const table = frontOf(this.#engine, String(name))
      const counted = String(engine).includes('Replacing') ? await this.#count(table) : Number(rows)
      tables.push({ name: table, rows: counted, bytes: Number(bytes) })
    }
    return tables
  }

  async #count(table: string): Promise<number> {
    const { rows } = await this.query(
      `SELECT count() AS rows FROM ${quoteName(this.#engine.database)}.${quoteName(table)}`,
    )
    return Number(rows[0]?.rows)
  }

  changes(tables: readonly string[], signal: AbortSignal): AsyncIterable<void> {
    return this.#changes.watch(tables, signal)
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

/** Rows that are encoded in one call, whose fixed cost they share. */
const chunk = 500
/** Rows that are encoded at a stretch: some milliseconds, after which others have their turn. */
const stretch = 2_000

/**
 * A row is a list, and rows are parted by commas within a chunk and by line ends between chunks, which ClickHouse takes alike.
 * A column that a row lacks is null, which ClickHouse takes as the column's default.
 */
async function compactRows(rows: readonly JsonObject[], names: readonly string[]): Promise<Buffer[]> {
  const body: Buffer[] = []
  for (let from = 0; from < rows.length; from += chunk) {
    if (from > 0 && from % stretch === 0) await setImmediate()
    const lists = rows.slice(from, from + chunk).map((row) => names.map((name): Json => row[name] ?? null))
    body.push(Buffer.from(`${JSON.stringify(lists).slice(1, -1)}\n`))
  }
  return body
}
