import type { Table } from '@lancedb/lancedb'
import { own } from './columns.ts'
import type { Sdk } from './sdk.ts'

/** How long a search may still read the files of a version that has been replaced. */
const graceMs = 10_000
/** Without writes for this long, a table counts as idle. */
const idleMs = 1_000
const longestWord = 1_000

/** Tables of fewer rows are read as a whole. */
export interface IndexFromRows {
  readonly vectors: number
  readonly words: number
}

/**
 * When to compact a table. Every write adds a version and a small file, and each of them slows the writes and searches
 * after it a little; compaction rewrites the table. The costs of the two balance at about the square root of the rows,
 * where writers are made to wait for it at the latest; in idle time a quarter of that is enough.
 */
export class Maintenance {
  readonly #sdk: Sdk
  readonly #table: Table
  readonly #indexFromRows: IndexFromRows
  readonly #whenFree: (work: () => Promise<void>) => Promise<void>
  #timer: NodeJS.Timeout | undefined
  #small = 0
  #rows = 0
  #indexed = false
  /** Columns of texts that have been searched for words, and those of them with an index. */
  readonly #searched = new Set<string>()
  readonly #worded = new Set<string>()
  #indexing: Promise<void> | undefined
  #closed = false

  /** `whenFree` runs something while no write is in flight. */
  constructor(
    sdk: Sdk,
    table: Table,
    indexFromRows: IndexFromRows,
    whenFree: (work: () => Promise<void>) => Promise<void>,
  ) {
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

  /**
   * Compacts and drops what no search can be reading any more. To be called while no write is in flight. Afterwards the
   * indexes that are due are made, beside whatever is written then; compaction, which moves rows, waits for their end.
   */
  async compact(): Promise<void> {
    if (this.#closed) return
    if (this.#indexing !== undefined) return this.#schedule(idleMs)
    const { compaction } = await this.#table.optimize({ cleanupOlderThan: new Date(Date.now() - graceMs) })
    await this.#measure()
    // What was just replaced is still there for the grace period: once more when that is over.
    if (compaction.fragmentsRemoved > 0) this.#schedule(graceMs + idleMs)
    // One that fails costs speed, not data, and the next compaction has it tried again.
    this.#indexing = this.#index()
      .catch(() => undefined)
      .finally(() => {
        this.#indexing = undefined
      })
  }

  async #index(): Promise<void> {
    await this.#indexVectors()
    await this.#indexWords()
  }

  /**
   * Makes the vector index of a table that has grown large. It stores whole vectors, so scores stay exact; compaction
   * adds later rows to it, and rows that are not in it yet are scanned.
   */
  async #indexVectors(): Promise<void> {
    if (this.#closed || this.#indexed || this.#rows < this.#indexFromRows.vectors) return
    const numPartitions = Math.ceil(Math.sqrt(this.#rows))
    const config = this.#sdk.lancedb.Index.ivfFlat({ distanceType: 'cosine', numPartitions })
    await this.#table.createIndex(own.vector, { config })
    this.#indexed = true
  }

  /** Whether all of these columns have an index of their words. One that another process has made is seen as well. */
  async hasWords(columns: readonly string[]): Promise<boolean> {
    const isIndexed = () => columns.every((column) => this.#worded.has(column))
    if (!isIndexed()) await this.#lookForWords()
    return isIndexed()
  }

  /** Has the indexes made that `hasWords` misses, once the table is large. Only for a process that writes. */
  wantWords(columns: readonly string[]): void {
    const isNews = columns.some((column) => !this.#searched.has(column))
    for (const column of columns) this.#searched.add(column)
    if (isNews && this.#timer === undefined) this.#schedule(idleMs)
  }

  /** Compaction adds later rows to these too, and what is not in them yet is read. Long words are kept whole. */
  async #indexWords(): Promise<void> {
    if (this.#closed || this.#rows < this.#indexFromRows.words) return
    await this.#lookForWords()
    for (const column of this.#searched) {
      if (this.#worded.has(column)) continue
      const config = this.#sdk.lancedb.Index.fts({
        baseTokenizer: 'simple',
        lowercase: true,
        stem: false,
        removeStopWords: false,
        asciiFolding: false,
        withPosition: false,
        maxTokenLength: longestWord,
      })
      await this.#table.createIndex(column, { config })
      this.#worded.add(column)
    }
  }

  async #lookForWords(): Promise<void> {
    for (const { indexType, columns } of await this.#table.listIndices()) {
      if (indexType === 'FTS') for (const column of columns) this.#worded.add(column)
    }
  }

  /** Waits for the index that is being made. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#indexing
  }

  get #limit(): number {
    // An index of words, in which all rows are moved, makes compaction about four times as dear.
    const cost = this.#worded.size > 0 ? 4 : 1
    return Math.max(64, Math.ceil(Math.sqrt((cost * this.#rows) / 3)))
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
      this.#timer = undefined
      // A compaction that fails costs speed, not data, and the next write schedules another.
      this.#whenFree(() => this.compact()).catch(() => undefined)
    }, delayMs)
    this.#timer.unref()
  }
}
