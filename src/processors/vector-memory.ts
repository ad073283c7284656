import type { Json } from '../core/event.ts'
import type { LaneState } from '../core/state.ts'
import { dot, VectorMatrix } from '../similarity/vector-matrix.ts'
import * as stored from './vector-memory-state.ts'

export interface MemoryOptions {
  /** Fingerprint of the model: vectors of another one are forgotten. */
  readonly model: string
  readonly dimension: number
  /** The most vectors that are remembered. */
  readonly last: number
  /** Vectors whose timestamps lie this far apart are not compared; undefined if any are. Milliseconds. */
  readonly window: number | undefined
  /** Whether entries are counted, and things kept with them. */
  readonly counted: boolean
}

export interface NewEntry {
  readonly vector: Float32Array
  readonly timestamp: number
  /** Of the event that it belongs to. */
  readonly offset: number
  readonly name?: string | undefined
  readonly count?: number
  /** Kept in the state, and read from there when it is asked for. */
  readonly keep?: Json | undefined
}

export interface Near {
  readonly row: number
  readonly number: number
  /** Cosine similarity. */
  readonly score: number
}

/** The nearest of what is remembered by then and scores at least so much; of equally near ones, the first. */
export type LookUp = (timestamp: number, least: number) => Near | undefined

interface Sought {
  readonly timestamp: number
  readonly least: number
  /** What each row scored, as the matrix sums up; infinite, or not there, where the row was filled since. */
  readonly known: Float32Array
}

interface Change {
  readonly key: string
  readonly value: Json | undefined
  readonly offset: number
}

/** A matrix sums up in another order than `dot`: how far its scores may be off, for 10,000 dimensions and more. */
const tolerance = 1e-3

/** So that what is compared at a time stays small: vectors, and their scores with all rows. */
const mostAtATime = 256
const mostScores = 2 ** 22

/** Entries that lie too far back and are forgotten whenever one is remembered. */
const forgottenPerEntry = 2

/**
 * The last vectors of a lane that were remembered: in memory to compare with, and in the state. What is decided
 * follows from the order of events alone: `dot` of the very numbers that the state holds decides, and the matrix only says
 * which rows need not be looked at. So it is the same in other batches, and after a restart.
 *
 * Each new entry also takes up to two entries off the old end whose timestamps lie further from its own than the window,
 * on either side: what is remembered stays in proportion to what a window holds, and one odd timestamp empties nothing.
 *
 * An entry takes `4 * dimension` bytes of memory, up to twice that with room to grow, and `5.4 * dimension` of the state.
 */
export class VectorMemory {
  readonly #options: MemoryOptions
  readonly #matrix: VectorMatrix
  readonly #entries: (stored.Entry | undefined)[] = []
  /** Rows in the order of remembering. */
  readonly #order = new Set<number>()
  readonly #named = new Map<string, number>()
  #end = 0
  #changes: Change[] = []
  /** Of the vectors whose turn it is, and those that follow. */
  #known: readonly Float32Array[] = []

  private constructor(options: MemoryOptions) {
    this.#options = options
    this.#matrix = new VectorMatrix(options.dimension)
  }

  static async load(state: LaneState, options: MemoryOptions): Promise<VectorMemory> {
    const memory = new VectorMemory(options)
    const head = await stored.readHead(state)
    if (head === undefined) return memory
    memory.#end = head.end
    // What is left of another model is overwritten: the head's height is that of the new one from the first entry on.
    if (head.model === options.model) memory.#restore(await stored.readRows(state, { ...options, ...head }))
    return memory
  }

  /** The matrix chooses the rows, so those that hold nothing are filled for the moment. */
  #restore(rows: readonly stored.StoredRow[]): void {
    const vectors = new Map(rows.map(({ row, vector }) => [row, vector]))
    const nothing = new Float32Array(this.#options.dimension)
    const height = Math.max(-1, ...vectors.keys()) + 1
    for (let row = 0; row < height; row++) this.#matrix.add(vectors.get(row) ?? nothing)
    for (let row = 0; row < height; row++) if (!vectors.has(row)) this.#matrix.remove(row)
    for (const { row, number, timestamp, name, count } of rows) this.#enter(row, { number, timestamp, name, count })
  }

  get size(): number {
    return this.#order.size
  }

  /** A turn for each vector, in order, which may look it up, remember and forget. Places without a vector find nothing. */
  async inTurn(
    vectors: readonly (Float32Array | undefined)[],
    turn: (index: number, lookUp: LookUp) => void,
  ): Promise<void> {
    for (let from = 0; from < vectors.length; ) {
      const atATime = Math.max(1, Math.min(mostAtATime, Math.floor(mostScores / Math.max(1, this.#matrix.height))))
      const some = vectors.slice(from, from + atATime)
      this.#known = await this.#matrix.scores(some.filter((vector) => vector !== undefined))
      const scores = this.#known.values()
      for (const [index, vector] of some.entries()) {
        const known = vector === undefined ? undefined : scores.next().value
        turn(from + index, (timestamp, least) => {
          if (vector === undefined || known === undefined) return undefined
          return this.#nearest(vector, { timestamp, least, known })
        })
      }
      this.#known = []
      from += some.length
    }
  }

  #nearest(vector: Float32Array, { timestamp, least, known }: Sought): Near | undefined {
    let best: Near | undefined
    let bound = least
    for (let row = 0; row < this.#entries.length; row++) {
      // Before the entry is looked at, which mostly is in no cache of the processor.
      if ((known[row] ?? Number.POSITIVE_INFINITY) + tolerance < bound) continue
      const entry = this.#entries[row]
      if (entry === undefined || this.#apart(entry.timestamp, timestamp)) continue
      const { number } = entry
      const score = dot(this.#matrix.at(row), vector)
      if (score < bound || (score === bound && best !== undefined && best.number < number)) continue
      best = { row, number, score }
      bound = score
    }
    return best
  }

  /** The vector of a row, a copy. */
  vectorAt(row: number): Float32Array {
    return this.#matrix.at(row).slice()
  }

  countAt(row: number): number {
    return this.#entries[row]?.count ?? 0
  }

  /** The row of the entry of this name. */
  rowOf(name: string): number | undefined {
    return this.#named.get(name)
  }

  /** Answers the entry's number. Those that there is no room for are forgotten first. */
  remember({ vector, timestamp, offset, name, count = 0, keep }: NewEntry): number {
    this.#makeRoom(timestamp, offset)
    const row = this.#matrix.add(vector)
    for (const scores of this.#known) scores[row] = Number.POSITIVE_INFINITY
    const number = this.#end++
    this.#enter(row, { number, timestamp, name, count })
    this.#write(row, offset)
    if (keep !== undefined) this.#change(stored.keptKey(row), [number, keep], offset)
    if (count > 0) this.#change(stored.countKey(row), [number, count], offset)
    return number
  }

  /** Remembers it, which is not counted, as if it came only now. An earlier timestamp than its own is not taken over. */
  refresh(row: number, timestamp: number, offset: number): void {
    const entry = this.#entries[row]
    if (entry === undefined) return
    this.#order.delete(row)
    this.#enter(row, { ...entry, number: this.#end++, timestamp: Math.max(timestamp, entry.timestamp) })
    this.#write(row, offset)
  }

  /** Counts once more, and answers how often by now. */
  count(row: number, offset: number): number {
    const entry = this.#entries[row]
    if (entry === undefined) throw new Error(`nothing is remembered in row ${row}`)
    const count = entry.count + 1
    this.#entries[row] = { ...entry, count }
    this.#change(stored.countKey(row), [entry.number, count], offset)
    return count
  }

  forget(row: number, offset: number): void {
    const entry = this.#entries[row]
    if (entry === undefined) return
    this.#entries[row] = undefined
    this.#order.delete(row)
    if (entry.name !== undefined) this.#named.delete(entry.name)
    this.#matrix.remove(row)
    this.#change(stored.vectorKey(row), undefined, offset)
    if (!this.#options.counted) return
    this.#change(stored.keptKey(row), undefined, offset)
    if (entry.count > 0) this.#change(stored.countKey(row), undefined, offset)
  }

  /** Hands what has changed to the state. */
  save(state: LaneState): void {
    for (const { key, value, offset } of this.#changes) state.set(key, value, offset)
    this.#changes = []
  }

  #makeRoom(timestamp: number, offset: number): void {
    for (let turn = 0; turn < forgottenPerEntry; turn++) {
      const [oldest] = this.#order
      const entry = oldest === undefined ? undefined : this.#entries[oldest]
      if (oldest === undefined || entry === undefined || !this.#apart(entry.timestamp, timestamp)) break
      this.forget(oldest, offset)
    }
    for (const row of this.#order) {
      if (this.size < this.#options.last) break
      this.forget(row, offset)
    }
  }

  #enter(row: number, entry: stored.Entry): void {
    this.#entries[row] = entry
    this.#order.add(row)
    if (entry.name !== undefined) this.#named.set(entry.name, row)
  }

  #write(row: number, offset: number): void {
    const entry = this.#entries[row]
    if (entry === undefined) return
    const { model } = this.#options
    this.#change(stored.vectorKey(row), stored.vectorValue(entry, this.#matrix.at(row)), offset)
    this.#change(stored.headKey, stored.headValue({ model, height: this.#matrix.height, end: this.#end }), offset)
  }

  #apart(a: number, b: number): boolean {
    const { window } = this.#options
    return window !== undefined && Math.abs(a - b) >= window
  }

  #change(key: string, value: Json | undefined, offset: number): void {
    this.#changes.push({ key, value, offset })
  }
}

/** The memories of the lanes that a processor works for. Lanes end, and what they remembered goes with them. */
export class VectorMemories {
  readonly #options: MemoryOptions
  readonly #byLane = new WeakMap<LaneState, VectorMemory>()

  constructor(options: MemoryOptions) {
    this.#options = options
  }

  /**
   * Works with a lane's memory, and hands what has changed to its state. If that fails, nothing is handed over, and the
   * memory is read from the state again: the two never disagree, and the same batch may be tried once more.
   */
  async use<T>(state: LaneState, work: (memory: VectorMemory) => Promise<T>): Promise<T> {
    const memory = this.#byLane.get(state) ?? (await VectorMemory.load(state, this.#options))
    this.#byLane.delete(state)
    const result = await work(memory)
    memory.save(state)
    this.#byLane.set(state, memory)
    return result
  }
}
