import type { Table } from '@lancedb/lancedb'
import { own } from './columns.ts'
import type { Sdk } from './sdk.ts'

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
  readonly #sdk: Sdk
  readonly #table: Table
  readonly #indexFromRows: number
  readonly #whenFree: (work: () => Promise<void>) => Promise<void>
  #timer: NodeJS.Timeout | undefined
  #small = 0
  #rows = 0
  #indexed = false
  #closed = false

  /** `whenFree` runs something while no write is in flight; `indexFromRows`: tables smaller than this are scanned. */
  constructor(sdk: Sdk, table: Table, indexFromRows: number, whenFree: (work: () => Promise<void>) => Promise<void>) {
    this.#sdk = sdk
    this.#table = table
    this.#indexFromRows = indexFromRows
    this.#whenFree = whenFree
  }

  /** Counts what an earlier process left behind. Only a process that writes compacts: others may just be looking. */
  async begin(): Promise<void> {
    await this.#measure()
    this.#indexed = (await this.#table.listIndices()).some(({ columns }) => columns.includes(own.vector))
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
    const { compaction } = await this.#table.optimize({ cleanupOlderThan: new Date(Date.now() - graceMs) })
    await this.#measure()
    // What was just replaced is still there for the grace period: once more when that is over.
    if (compaction.fragmentsRemoved > 0) this.#schedule(graceMs + idleMs)
  }

  /**
   * Makes the vector index of a table that has grown large. It stores whole vectors, so scores stay exact; compaction
   * adds later rows to it, and rows that are not in it yet are scanned.
   */
  async #index(): Promise<void> {
    if (this.#closed || this.#indexed || this.#rows < this.#indexFromRows) return
    const numPartitions = Math.ceil(Math.sqrt(this.#rows))
    const config = this.#sdk.lancedb.Index.ivfFlat({ distanceType: 'cosine', numPartitions })
    await this.#table.createIndex(own.vector, { config })
    this.#indexed = true
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
      this.#whenFree(() => this.compact())
        .then(() => this.#whenFree(() => this.#index()))
        .catch(() => undefined)
    }, delayMs)
    this.#timer.unref()
  }
}
