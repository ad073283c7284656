import type { Table } from '@lancedb/lancedb'

/** How long a search may still read the files of a version that has been replaced. */
const graceMs = 10_000
/** Without writes for this long, a table counts as idle. */
const idleMs = 1_000

/**
 * When to compact a table. Every write adds a version and a small file, and each of them slows the writes and searches
 * after it a little; compaction rewrites the table. The costs of the two balance at about the square root of the rows,
 * where writers are made to wait for it at the latest; in idle time a quarter of that is enough.
 */
export class Maintenance {
  readonly #table: Table
  readonly #whenFree: (work: () => Promise<void>) => Promise<void>
  #timer: NodeJS.Timeout | undefined
  #small = 0
  #rows = 0
  #closed = false

  /** `whenFree` runs something while no write is in flight. */
  constructor(table: Table, whenFree: (work: () => Promise<void>) => Promise<void>) {
    this.#table = table
    this.#whenFree = whenFree
  }

  /** Counts what an earlier process left behind. */
  async begin(): Promise<void> {
    await this.#measure()
    if (this.#small >= this.#limit / 4) this.#schedule(idleMs)
  }

  /** After each write. True when compaction should go before the next one. */
  wrote(versions: number): boolean {
    this.#small += versions
    if (this.#small >= this.#limit / 4) this.#schedule(idleMs)
    return this.#small >= this.#limit
  }

  /** Compacts and drops what no search can be reading any more. To be called while no write is in flight. */
  async compact(): Promise<void> {
    if (this.#closed) return
    await this.#table.optimize({ cleanupOlderThan: new Date(Date.now() - graceMs) })
    await this.#measure()
    this.#small = 0
    // Versions younger than the grace period are still there: once more when they are not.
    this.#schedule(graceMs + idleMs)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  get #limit(): number {
    return Math.max(64, Math.ceil(Math.sqrt(this.#rows / 3)))
  }

  async #measure(): Promise<void> {
    const { numRows, fragmentStats } = await this.#table.stats()
    this.#rows = numRows
    this.#small = fragmentStats.numFragments
  }

  #schedule(delayMs: number): void {
    if (this.#closed) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      // A compaction that fails costs speed, not data, and the next write schedules another.
      this.#whenFree(() => this.compact()).catch(() => undefined)
    }, delayMs)
    this.#timer.unref()
  }
}
