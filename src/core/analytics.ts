import { type ErrorDetail, MillraceError } from './errors.ts'
import type { Json, JsonObject } from './event.ts'
import type { RowFilter } from './principal.ts'

/** The rows themselves cannot be accepted, and none of them was: trying them again cannot help. */
export class RejectedRows extends MillraceError {
  /** Index of the row that the server blames, when it says so. */
  readonly row: number | undefined
  constructor(detail: ErrorDetail & { readonly row?: number | undefined }) {
    super(detail)
    this.row = detail.row
  }
}

export interface Column {
  readonly name: string
  /** A ClickHouse type, such as `LowCardinality(String)`. */
  readonly type: string
}

export interface TableSpec {
  readonly name: string
  readonly columns: readonly Column[]
  /**
   * `append`: a row per event. `upsert`: the newest row of each event id counts, and a tombstone deletes it.
   */
  readonly mode: 'append' | 'upsert'
  readonly orderBy?: readonly string[] | undefined
  readonly partitionBy?: string | undefined
  /** A ClickHouse TTL expression, such as `at + INTERVAL 90 DAY`. */
  readonly ttl?: string | undefined
}

export interface QueryResult {
  readonly columns: readonly Column[]
  readonly rows: readonly JsonObject[]
}

/** ClickHouse: in the process (chDB) or a server, both through `@clickhouse/client`. */
export interface Analytics {
  /** Creates the table or adds the columns it lacks. Throws `Fatal` when a column is there with another type. */
  ensureTable(spec: TableSpec): Promise<void>
  /**
   * Inserts all rows synchronously under a deduplication token: a repeated insert with the same token is dropped.
   * Throws `RejectedRows` if the rows themselves cannot be accepted, `Retryable` if the server is down.
   */
  insert(table: string, rows: readonly JsonObject[], token: string): Promise<void>
  /**
   * A read-only query. `params` fill `{name:Type}`. With `rows` it sees of every table only what the filter lets through,
   * whatever it says, so its text must be trusted; a table without one of the fields is refused. Throws `InvalidInput` with
   * ClickHouse's own message.
   */
  query(
    sql: string,
    params?: Readonly<Record<string, Json>>,
    signal?: AbortSignal,
    rows?: RowFilter,
  ): Promise<QueryResult>
  /**
   * Yields as soon as it watches the tables (or cannot, for ClickHouse is down), and then whenever blocks may have landed in
   * one of them, by whatever process. So what is read after the first yield is never outdated without another. Ends when
   * the signal fires.
   */
  changes(tables: readonly string[], signal: AbortSignal): AsyncIterable<void>
  tables(): Promise<readonly { readonly name: string; readonly rows: number; readonly bytes: number }[]>
  close(): Promise<void>
}
