import type { Json } from './event.ts'

/** A value of the query, bound to `{name:Type}` in its SQL. */
export interface QueryParameter {
  /** A ClickHouse type, such as `UInt32`. */
  readonly type: string
  /** What it is when the caller gives none; without one the caller must. */
  readonly default?: Json | undefined
  /** The claim of the caller's token that it is taken from; the caller cannot give it. */
  readonly claim?: string | undefined
  readonly description?: string | undefined
}

/** A ClickHouse query that clients call by its name: one file under `queries/`. */
export interface NamedQuery {
  readonly name: string
  readonly description?: string | undefined
  readonly sql: string
  readonly params: Readonly<Record<string, QueryParameter>>
  /** The tables that it reads: a new block in one of them changes its rows. */
  readonly tables: readonly string[]
  /** It runs again after so many milliseconds in any case, for its rows depend on the clock. */
  readonly refresh?: number | undefined
}
