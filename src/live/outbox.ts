import type { Matched } from './channel-event.ts'
import type { GapReason } from './protocol.ts'

export interface Gap {
  readonly reason: GapReason
  readonly from: number
  readonly to: number
  readonly count: number | undefined
}

/**
 * What waits to be sent to one subscriber, in offset order. Whatever is taken out without being sent is recorded in a
 * gap, so that the subscriber can be told: nothing is lost silently. Its owner keeps it small with `conflate` and `sample`.
 */
export class Outbox {
  #events: Matched[] = []
  #bytes = 0
  readonly #gaps = new Map<GapReason, Gap>()

  get length(): number {
    return this.#events.length
  }

  get bytes(): number {
    return this.#bytes
  }

  get empty(): boolean {
    return this.#events.length === 0 && this.#gaps.size === 0
  }

  push(events: readonly Matched[]): void {
    for (const event of events) {
      this.#events.push(event)
      this.#bytes += event.bytes
    }
  }

  /** Widens the gap of this reason; `count` is left out where nobody knows it. */
  addGap(reason: GapReason, from: number, to: number, count: number | undefined): void {
    const known = this.#gaps.get(reason)
    if (!known) {
      this.#gaps.set(reason, { reason, from, to, count })
      return
    }
    const total = known.count === undefined || count === undefined ? undefined : known.count + count
    this.#gaps.set(reason, { reason, from: Math.min(known.from, from), to: Math.max(known.to, to), count: total })
  }

  /** Keeps the latest event of each key. Events without a key stay, and a retraction only replaces its own event. */
  conflate(keyOf: (event: Matched) => string | null): number {
    const seen = new Set<string>()
    return this.#keep('conflated', (event) => {
      const key = keyOf(event)
      const identity = `id ${event.source.event.id}`
      if (seen.has(identity) || (key !== null && !event.source.retracts && seen.has(`key ${key}`))) return false
      seen.add(identity)
      if (key !== null && !event.source.retracts) seen.add(`key ${key}`)
      return true
    })
  }

  /** Drops every other event; the newest stays. */
  sample(): number {
    let index = 0
    return this.#keep('sampled', () => index++ % 2 === 0)
  }

  /** Drops all but the newest events. */
  keepNewest(limit: number): number {
    let kept = 0
    return this.#keep('sampled', () => kept++ < limit)
  }

  /** The gaps there are: they are told before the events that come after them. */
  takeGaps(): Gap[] {
    const gaps = [...this.#gaps.values()]
    this.#gaps.clear()
    return gaps
  }

  /** The oldest events, at most so many and about so many bytes, and at least one if there is one. */
  take(limit: number, bytes: number): Matched[] {
    let count = 0
    let size = 0
    for (const event of this.#events) {
      if (count >= limit || (count > 0 && size + event.bytes > bytes)) break
      size += event.bytes
      count++
    }
    this.#bytes -= size
    return this.#events.splice(0, count)
  }

  /** `keep` is asked from the newest to the oldest. Answers how many were dropped. */
  #keep(reason: GapReason, keep: (event: Matched) => boolean): number {
    const kept: Matched[] = []
    let bytes = 0
    let first = Number.POSITIVE_INFINITY
    let last = -1
    for (const event of this.#events.toReversed()) {
      if (keep(event)) {
        kept.push(event)
        bytes += event.bytes
      } else {
        first = Math.min(first, event.offset)
        last = Math.max(last, event.offset)
      }
    }
    const dropped = this.#events.length - kept.length
    if (dropped > 0) {
      this.#events = kept.reverse()
      this.#bytes = bytes
      this.addGap(reason, first, last, dropped)
    }
    return dropped
  }
}
