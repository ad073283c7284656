import type { Json } from './event.ts'

/** An event for a channel. `value: null` retracts what was published under the same id. */
export interface LiveEvent {
  readonly id: string
  readonly key: string | null
  readonly value: Json
  readonly timestamp: number
  /**
   * The source's offset, where `id` is not the event's position: of two events of one id, the one with the greater version
   * is the newer. Left out where an id never comes again.
   */
  readonly version?: number | undefined
  /** Compared with standing queries. */
  readonly vector?: Float32Array | undefined
}

export interface StoredLiveEvent extends LiveEvent {
  /** Position within the channel's epoch, ascending by one. */
  readonly offset: number
  /** When it was appended, in milliseconds since 1970; ascending with the offsets. */
  readonly appended: number
}

export interface ChannelHead {
  /** Changes whenever offsets start anew, so that a position from another life of the channel is never mistaken. */
  readonly epoch: string
  /** Offset of the oldest event that is kept; `next` when there is none. */
  readonly first: number
  /** Offset that the next event will get. */
  readonly next: number
}

/** What channels carry, kept for a while so that clients can resume. */
export interface LiveLog {
  /**
   * Appends the events of one lane up to and including a source offset, and remembers that offset in the same step:
   * events at or below the remembered one are skipped, so a replay is not pushed twice. `offsets` are the source
   * offsets of `events`, ascending; several events may share one, and all events of an offset come in one call.
   */
  append(channel: string, lane: string, events: readonly LiveEvent[], offsets: readonly number[]): Promise<void>
  head(channel: string): Promise<ChannelHead>
  /** Events from an offset on, oldest first, at most `limit`, and none more after those that have so many `bytes`, about. */
  read(channel: string, from: number, limit: number, bytes?: number): Promise<StoredLiveEvent[]>
  /** New events from `from` on, as they are appended, in batches; ends when the signal fires. */
  follow(channel: string, from: number, signal: AbortSignal): AsyncIterable<StoredLiveEvent[]>
  channels(): Promise<readonly string[]>
  close(): Promise<void>
}
