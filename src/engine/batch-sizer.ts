import type { ReadLimit } from '../core/event-log.ts'

const mostEvents = 1_000
const mostBytes = 1 << 20
/** More than a lane that keeps up has in hand: who sees a batch of so many texts knows that it is bulk work. */
const leastShare = 8 / mostEvents

/** A batch that takes longer keeps what follows waiting; one that takes far less wastes calls. Milliseconds. */
const aimMs = 100
/** Batches over which the speed is measured: those that are processed side by side may end at once, in any order. */
const measuredBatches = 16

/**
 * How much to read in one go: as much as the lane processes in 100 ms. A pipeline of plain expressions gets large
 * batches, one that embeds gets small ones, and both keep their latency.
 */
export class BatchSizer {
  /** Of the most events and bytes that a batch may have. It starts small: growing takes a few full batches. */
  #share = leastShare
  /** The last batches: how large they were, and for how much longer each of them kept the lane at work. */
  readonly #measured: { readonly share: number; readonly ms: number }[] = []
  #lastEnd = Number.NEGATIVE_INFINITY

  get limit(): ReadLimit {
    return { events: Math.floor(mostEvents * this.#share), bytes: Math.floor(mostBytes * this.#share) }
  }

  /** A batch of this size was processed from `start` to `end`: milliseconds of one clock. */
  took(start: number, end: number, events: number, bytes: number): void {
    const { limit } = this
    const full = events >= limit.events || bytes >= limit.bytes
    this.#measured.push({ share: shareOf(events, bytes), ms: end - Math.max(start, this.#lastEnd) })
    if (this.#measured.length > measuredBatches) this.#measured.shift()
    this.#lastEnd = end
    const aim = Math.max(leastShare, Math.min(1, this.#sharePerMs() * aimMs))
    if (aim < this.#share) this.#share = Math.max(aim, this.#share / 2)
    else if (full) this.#share = Math.min(aim, this.#share * 2)
  }

  #sharePerMs(): number {
    let share = 0
    let ms = 0
    for (const batch of this.#measured) {
      share += batch.share
      ms += batch.ms
    }
    return share / ms
  }
}

/** How large a batch is beside the largest one there may be, by events or by bytes. */
export function shareOf(events: number, bytes: number): number {
  return Math.max(events / mostEvents, bytes / mostBytes)
}
