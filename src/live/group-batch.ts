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
  readonly #frames: { readonly encoding: Encoding; readonly subscription: string; readonly frame: Uint8Array }[] = []

  constructor({ epoch, from, next, lost }: Span, { matched, comparable }: Match) {
    this.epoch = epoch
    this.from = from
    this.next = next
    this.lost = lost
    this.matched = matched
    this.comparable = comparable
    let bytes = 0
    for (const event of matched) bytes += event.bytes
    this.bytes = bytes
  }

  /** Nothing matched, nothing was lost, and all could be compared: there is nothing to tell anyone. */
  get nothing(): boolean {
    return this.matched.length === 0 && this.comparable && this.lost === undefined
  }

  /** The events as one frame: encoded once for all subscriptions of the same id and encoding. */
  frame(encoding: Encoding, subscription: string): Uint8Array {
    for (const known of this.#frames) {
      if (known.encoding === encoding && known.subscription === subscription) return known.frame
    }
    const frame = encoding.events(subscription, this.epoch, this.matched, true)
    this.#frames.push({ encoding, subscription, frame })
    return frame
  }
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
