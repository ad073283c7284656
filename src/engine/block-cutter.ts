import type { BlockLimits } from '../core/pipeline.ts'

/** Records `[from, to)` of the lane, as they were read in one go. */
export interface Span {
  readonly from: number
  readonly to: number
  readonly records: number
  readonly bytes: number
}

/**
 * Says where blocks end. Ends that the journal holds come first and are cut exactly there, whatever the limits are by
 * now; after them a block closes by count, bytes or age.
 */
export class BlockCutter {
  readonly #limits: BlockLimits
  readonly #replayed: number[]
  #records = 0
  #bytes = 0
  #openedAt: number | undefined

  constructor(limits: BlockLimits, journalledEnds: readonly number[]) {
    this.#limits = limits
    this.#replayed = [...journalledEnds]
  }

  /** Where the next journalled block ends. A span must not reach beyond it. */
  get boundary(): number | undefined {
    return this.#replayed[0]
  }

  /** Takes the next span in; true if the block closes with it. */
  add(span: Span, now: number): boolean {
    this.#openedAt ??= now
    this.#records += span.records
    this.#bytes += span.bytes
    if (this.boundary !== undefined) return span.to >= this.boundary
    return this.#records >= this.#limits.events || this.#bytes >= this.#limits.bytes || this.dueIn(now) === 0
  }

  /** Milliseconds until the open block is to close by age; undefined when none is open or its end is journalled. */
  dueIn(now: number): number | undefined {
    if (this.#openedAt === undefined || this.boundary !== undefined) return undefined
    return Math.max(0, this.#openedAt + this.#limits.ageMs - now)
  }

  /** The block that was open is closed at `end`. */
  closed(end: number): void {
    this.#records = 0
    this.#bytes = 0
    this.#openedAt = undefined
    while (this.boundary !== undefined && this.boundary <= end) this.#replayed.shift()
  }
}
