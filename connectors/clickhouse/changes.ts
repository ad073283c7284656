import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import { quoteString } from '../../src/core/clickhouse/sql.ts'
import { frontOf, onAllReplicas, storedTable } from './cluster.ts'
import { type Engine, selectRows } from './engine.ts'

const pollMs = 500
const longestPauseMs = 5_000

/** What a table's rows follow from, as a text; left out for a table that has none. */
type Versions = ReadonlyMap<string, string>
type Look = (tables: readonly string[]) => Promise<Versions>

/**
 * Tells those who watch tables that rows in them have changed. Where this process is the only writer it says so itself; else
 * the tables are looked at, once for all who watch and only while someone does.
 */
export class Changes {
  readonly #watches = new Set<Watch>()
  readonly #look: Look | undefined
  #looking: AbortController | undefined

  /** Without `look`, every change is told with `changed`. */
  constructor(look: Look | undefined) {
    this.#look = look
  }

  /** Rows of a table have changed. Where others write too, that is found like the changes of others. */
  changed(table: string): void {
    if (this.#look !== undefined) return
    for (const watch of this.#watches) if (watch.tables.includes(table)) watch.wake()
  }

  /** See `Analytics.changes`. */
  async *watch(tables: readonly string[], signal: AbortSignal): AsyncGenerator<void> {
    const watch = new Watch(tables, signal)
    this.#watches.add(watch)
    if (this.#look === undefined) watch.wake()
    else this.#lookNow(this.#look)
    try {
      while (await watch.woken()) yield
    } finally {
      this.#watches.delete(watch)
      if (this.#watches.size === 0) this.#looking?.abort()
    }
  }

  /** Looks at once: whoever has just begun to watch waits for it. */
  #lookNow(look: Look): void {
    this.#looking?.abort()
    const looking = new AbortController()
    this.#looking = looking
    void this.#lookOn(look, looking.signal)
  }

  async #lookOn(look: Look, signal: AbortSignal): Promise<void> {
    // Those who begin in one go share a look.
    await setImmediate()
    for (let pause = pollMs; !signal.aborted; ) {
      const watches = [...this.#watches]
      const versions = await look([...new Set(watches.flatMap(({ tables }) => tables))]).catch(() => undefined)
      if (signal.aborted) return
      for (const watch of watches) watch.compare(versions)
      pause = versions === undefined ? Math.min(2 * pause, longestPauseMs) : pollMs
      await sleep(pause, undefined, { signal, ref: false }).catch(() => undefined)
    }
  }
}

class Watch {
  readonly tables: readonly string[]
  readonly #signal: AbortSignal
  #due = false
  #seen: string | undefined
  #resolve: (() => void) | undefined

  constructor(tables: readonly string[], signal: AbortSignal) {
    this.tables = tables
    this.#signal = signal
    signal.addEventListener('abort', () => this.#resolve?.(), { once: true })
  }

  wake(): void {
    this.#due = true
    this.#resolve?.()
  }

  /** Without versions the tables could not be looked at: what has been seen still counts when they can be again. */
  compare(versions: Versions | undefined): void {
    const now = versions ? JSON.stringify(this.tables.map((table) => versions.get(table) ?? null)) : (this.#seen ?? '')
    if (now === this.#seen) return
    this.#seen = now
    this.wake()
  }

  /** Waits until it is woken, and forgets that; false when the signal has fired. */
  async woken(): Promise<boolean> {
    if (!this.#due && !this.#signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#resolve = resolve
      })
    }
    this.#due = false
    return !this.#signal.aborted
  }
}

/**
 * Versions of the tables, from the parts that they are made of: an insert makes one with a block number that is new in its partition,
 * a mutation one of a newer version, and rows whose time is over leave parts with fewer. Merges alone change a version only
 * where they drop rows.
 */
export async function versionsOf(engine: Engine, tables: readonly string[]): Promise<Versions> {
  const { database, cluster } = engine
  const stored = tables.map((table) => quoteString(storedTable(engine, table))).join(', ')
  const parts = [
    'SELECT table, hostName() AS host, partition_id,',
    'max(max_block_number) AS block, maxIf(data_version, data_version != min_block_number) AS mutation, sum(rows) AS count',
    `FROM ${onAllReplicas(cluster, 'system.parts')}`,
    `WHERE active AND database = ${quoteString(database)} AND table IN (${stored})`,
    'GROUP BY table, host, partition_id',
  ].join(' ')
  const sql = [
    'SELECT table, toString(sum(cityHash64(host, partition_id, block, mutation, count)))',
    `FROM (${parts}) GROUP BY table SETTINGS skip_unavailable_shards = 1`,
  ].join(' ')
  const rows = await engine.administer((client) => selectRows(client, sql))
  return new Map(rows.map(([table, version]) => [frontOf(engine, String(table)), String(version)]))
}
