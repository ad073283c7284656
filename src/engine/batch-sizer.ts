import type { ReadLimit } from '../core/event-log.ts'

const mostEvents = 1_000
const mostBytes = 1 << 20
const leastShare = 1 / 256

/** A batch that takes longer keeps what follows waiting; one far below wastes calls. Milliseconds. */
const longMs = 200
const shortMs = 50

/**
 * How much to read in one go: as much as is processed in 50 to 200 ms. A pipeline of plain expressions gets large
 * batches, one that embeds gets small ones, and both keep their latency.
 */
export class BatchSizer {
  /** Of the most events and bytes that a batch may have. It starts small: growing takes a few fast batches. */
  #share = leastShare

  get limit(): ReadLimit {
    return { events: Math.max(1, Math.floor(mostEvents * this.#share)), bytes: Math.floor(mostBytes * this.#share) }
  }

  /** A batch of this size took so long from reading to the end of processing. */
  took(milliseconds: number, events: number, bytes: number): void {
    const { limit } = this
    const full = events >= limit.events || bytes >= limit.bytes
    if (milliseconds > longMs) this.#share = Math.max(leastShare, this.#share / 2)
    else if (milliseconds < shortMs && full) this.#share = Math.min(1, this.#share * 2)
  }
}
