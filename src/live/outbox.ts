import type { Matched } from './channel-event.ts'
import { GroupBatch, JoinedBatches } from './group-batch.ts'
import type { GapReason } from './protocol.ts'

export interface Gap {
  readonly reason: GapReason
  readonly from: number
  readonly to: number
  readonly count: number | undefined
}

/** Of the whole process, for what waits is the same for many. */
const joins = new JoinedBatches()

/**
 * What waits to be sent to one subscriber, in offset order. Whatever is taken out without being sent is recorded in a
 * gap, so that the subscriber can be told: nothing is lost silently. Its owner keeps it small with `conflate` and `sample`.
 * Batches stay whole for as long as nothing of them is dropped: they cost next to nothing here, and their frames are shared.
 */
export class Outbox {
  #items: (GroupBatch | Matched)[] = []
  #length = 0
  #bytes = 0
  #gaps: Map<GapReason, Gap> | undefined
  #lostTo = -1

  /** In events. */
  get length(): number {
    return this.#length
  }

  get bytes(): number {
    return this.#bytes
  }

  get empty(): boolean {
    return this.#length === 0 && this.#gaps === undefined
  }

  /** Everything after this offset is sent, or waits here: nothing of it was left out so far. */
  get lostTo(): number {
    return this.#lostTo
  }

  push(events: readonly Matched[]): void {
    for (const event of events) this.#items.push(event)
    this.#length += events.length
    this.#bytes += bytesOf(events)
  }

  pushBatch(batch: GroupBatch): void {
    if (batch.matched.length === 0) return
    this.#items.push(batch)
    this.#length += batch.matched.length
    this.#bytes += batch.bytes
  }

  /** Widens the gap of this reason; `count` is left out where nobody knows it. */
  addGap(reason: GapReason, from: number, to: number, count: number | undefined): void {
    this.#lostTo = Math.max(this.#lostTo, to)
    this.#gaps ??= new Map()
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

  /** Whether some event may replace another. */
  get replaces(): boolean {
    return this.#items.some((item) => item.replaces)
  }

  /** Drops every other batch, or every other event of the only one; the newest stays. */
  sample(): number {
    let index = 0
    if (this.#items.length < 2) return this.#keep('sampled', () => index++ % 2 === 0)
    const before = this.#length
    const newest = this.#items.length - 1
    this.#items = this.#items.filter((item, position) => (newest - position) % 2 === 0 || !this.#drop(item))
    return before - this.#length
  }

  /** Drops all but the newest events. */
  keepNewest(limit: number): number {
    if (this.#length <= limit) return 0
    let kept = 0
    return this.#keep('sampled', () => kept++ < limit)
  }

  /** The gaps there are: they are told before the events that come after them. */
  takeGaps(): Gap[] {
    const gaps = [...(this.#gaps?.values() ?? [])]
    this.#gaps = undefined
    return gaps
  }

  /** The oldest events, as `take`, if they are whole batches: as one that all share for whom the same waits. */
  takeBatch(limit: number, bytes: number): GroupBatch | undefined {
    const parts: GroupBatch[] = []
    let events = 0
    let size = 0
    for (const item of this.#items) {
      if (!(item instanceof GroupBatch)) break
      events += item.matched.length
      size += item.bytes
      if (events > limit || (parts.length > 0 && size > bytes)) break
      parts.push(item)
    }
    const batch = joins.join(parts)
    if (batch === undefined) return undefined
    this.#items.splice(0, parts.length)
    this.#length -= batch.matched.length
    this.#bytes -= batch.bytes
    return batch
  }

  /** The oldest events, at most so many and about so many bytes, and at least one if there is one. */
  take(limit: number, bytes: number): Matched[] {
    const taken: Matched[] = []
    let size = 0
    let items = 0
    let rest: readonly Matched[] = []
    for (const item of this.#items) {
      const events = item instanceof GroupBatch ? item.matched : [item]
      const end = events.findIndex((event, index) => {
        if (taken.length + index >= limit) return true
        if (taken.length + index > 0 && size + event.bytes > bytes) return true
        size += event.bytes
        return false
      })
      taken.push(...(end < 0 ? events : events.slice(0, end)))
      if (end === 0) break
      items++
      if (end < 0) continue
      rest = events.slice(end)
      break
    }
    this.#items.splice(0, items, ...rest)
    this.#length -= taken.length
    this.#bytes -= size
    return taken
  }

  /** Counts and records what is left out. Always true. */
  #drop(item: GroupBatch | Matched): true {
    const events = item instanceof GroupBatch ? item.matched : [item]
    const [first, last] = [events[0]?.offset ?? 0, events.at(-1)?.offset ?? 0]
    this.#length -= events.length
    this.#bytes -= item.bytes
    this.addGap('sampled', first, last, events.length)
    return true
  }

  /** `keep` is asked from the newest to the oldest. Answers how many were dropped. */
  #keep(reason: GapReason, keep: (event: Matched) => boolean): number {
    const kept: Matched[] = []
    let bytes = 0
    let first = Number.POSITIVE_INFINITY
    let last = -1
    const events = this.#items.flatMap((item) => (item instanceof GroupBatch ? item.matched : [item]))
    for (const event of events.toReversed()) {
      if (keep(event)) {
        kept.push(event)
        bytes += event.bytes
      } else {
        first = Math.min(first, event.offset)
        last = Math.max(last, event.offset)
      }
    }
    const dropped = events.length - kept.length
    if (dropped > 0) {
      this.#items = kept.reverse()
      this.#length = kept.length
      this.#bytes = bytes
      this.addGap(reason, first, last, dropped)
    }
    return dropped
  }
}

function bytesOf(events: readonly Matched[]): number {
  let bytes = 0
  for (const event of events) bytes += event.bytes
  return bytes
}
