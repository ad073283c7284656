import type { Matched } from './channel-event.ts'
import type { Encoding } from './encoding.ts'
import type { Match } from './matcher.ts'

/** Offsets, the last included. */
export interface OffsetRange {
  readonly from: number
  readonly to: number
}

/** What is looked at, from the first offset to the one after the last. */
export interface Span {
  readonly epoch: string
  readonly from: number
  readonly next: number
  /** Offsets before `from` that the channel never saw, for they were dropped from the log before it came to them. */
  readonly lost: OffsetRange | undefined
}

/** A frame has at most about so many bytes of events, unless one event alone has more. */
export const frameBytes = 256 * 1024

/** What a batch of events is for one group of identical subscriptions. Shared by all of them. */
export class GroupBatch implements Match, Span {
  readonly epoch: string
  readonly from: number
  readonly next: number
  readonly lost: OffsetRange | undefined
  readonly matched: readonly Matched[]
  readonly comparable: boolean
  /** Of the events as JSON. */
  readonly bytes: number
  /** Whether some event may replace another: without keys, and with ids that never come again, none does. */
  readonly replaces: boolean
  readonly #frames: Frame[] = []
  /** Offset of the oldest base that a delta of these events applies to; infinite if none is a delta. */
  #leastBase: number | undefined

  constructor({ epoch, from, next, lost }: Span, { matched, comparable }: Match) {
    this.epoch = epoch
    this.from = from
    this.next = next
    this.lost = lost
    this.matched = matched
    this.comparable = comparable
    let bytes = 0
    let replaces = false
    for (const event of matched) {
      bytes += event.bytes
      replaces ||= event.replaces
    }
    this.bytes = bytes
    this.replaces = replaces
  }

  /** Nothing matched, nothing was lost, and all could be compared: there is nothing to tell anyone. */
  get nothing(): boolean {
    return this.matched.length === 0 && this.comparable && this.lost === undefined
  }

  /**
   * The events as one frame, encoded once for all subscriptions of the same id and encoding. `deltaFrom`: the client has
   * every event of the group from this offset on, so that it may be sent deltas that apply to these; the frame then is
   * another one, which is encoded once as well.
   */
  frame(encoding: Encoding, subscription: string, deltaFrom: number | undefined): Uint8Array {
    const deltas = deltaFrom !== undefined && this.#deltasApply(deltaFrom)
    for (const known of this.#frames) {
      if (known.encoding === encoding && known.subscription === subscription && known.deltas === deltas) {
        return known.frame
      }
    }
    const events = deltas
      ? this.matched.map((event) => ({ offset: event.offset, json: event.jsonSince(0) }))
      : this.matched
    const frame = encoding.events(subscription, this.epoch, events, true)
    this.#frames.push({ encoding, subscription, deltas, frame })
    return frame
  }

  #deltasApply(deltaFrom: number): boolean {
    if (this.#leastBase === undefined) {
      this.#leastBase = Number.POSITIVE_INFINITY
      for (const { delta } of this.matched) if (delta && delta.base < this.#leastBase) this.#leastBase = delta.base
    }
    return this.#leastBase !== Number.POSITIVE_INFINITY && this.#leastBase >= deltaFrom
  }
}

interface Frame {
  readonly encoding: Encoding
  readonly subscription: string
  readonly deltas: boolean
  readonly frame: Uint8Array
}

/** As one batch, or as several if its events are too large for one frame. */
export function groupBatches(span: Span, match: Match): GroupBatch[] {
  const { matched, comparable } = match
  const batches: GroupBatch[] = []
  let from = span.from
  let start = 0
  let bytes = 0
  for (const [index, event] of matched.entries()) {
    if (index > start && bytes + event.bytes > frameBytes) {
      const part = { epoch: span.epoch, from, next: event.offset, lost: start === 0 ? span.lost : undefined }
      batches.push(new GroupBatch(part, { matched: matched.slice(start, index), comparable }))
      from = event.offset
      start = index
      bytes = 0
    }
    bytes += event.bytes
  }
  if (start === 0) return [new GroupBatch(span, match)]
  const rest = { epoch: span.epoch, from, next: span.next, lost: undefined }
  batches.push(new GroupBatch(rest, { matched: matched.slice(start), comparable }))
  return batches
}

/** So many joined batches are remembered, those that were wanted last. */
const rememberedJoins = 16

/**
 * Batches that wait together for several clients, as one: clients that could not take something for a moment, all of them
 * mostly at the same time, share frames again.
 */
export class JoinedBatches {
  #recent: { readonly parts: readonly GroupBatch[]; readonly batch: GroupBatch }[] = []

  /** Of one group, in order, at least one; what is between them was left out. */
  join(parts: readonly GroupBatch[]): GroupBatch | undefined {
    const [first] = parts
    const last = parts.at(-1)
    if (first === last || !first || !last) return first
    const known = this.#recent.find((join) => sameParts(join.parts, parts))
    if (known) return known.batch
    const span = { epoch: first.epoch, from: first.from, next: last.next, lost: undefined }
    const batch = new GroupBatch(span, { matched: parts.flatMap(({ matched }) => matched), comparable: true })
    this.#recent = [{ parts, batch }, ...this.#recent.slice(0, rememberedJoins - 1)]
    return batch
  }
}

function sameParts(ones: readonly GroupBatch[], others: readonly GroupBatch[]): boolean {
  return ones.length === others.length && ones.every((one, index) => one === others[index])
}
