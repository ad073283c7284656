import type { LogRecord, NewRecord, Position, TopicPartition } from './event.ts'
import type { StateChange, StateReader } from './state.ts'

/** The journal of one partition for one group. */
export interface Committed {
  /** The first offset that is not yet delivered to every sink. */
  readonly from: number
  /** Ends of the closed blocks in flight, ascending, all above `from`. Each is the offset after its block's last. */
  readonly ends: readonly number[]
}

export interface ReadLimit {
  readonly events: number
  /** Keys, values and headers together; at least one record is returned even if it is larger. */
  readonly bytes: number
  /** Nothing at or after this offset is returned. */
  readonly before?: number | undefined
}

export interface LaneSource {
  readonly partition: TopicPartition
  /**
   * Fires when the partition is wanted elsewhere: read no more, finish and commit what is in hand, and `release`. Whoever
   * takes too long is revoked.
   */
  readonly leaving: AbortSignal
  /** Fires when the partition goes to someone else. From then on `commit` fails with `Fenced`. */
  readonly revoked: AbortSignal
  /** As found when the partition was assigned; `from` is resolved against `start` for a new group. */
  readonly committed: Committed
  /** The group's state for this partition, as of the last commit. */
  readonly state: StateReader
  /**
   * The next records, at least one, in offset order and never more than the limit. Waits for them. An empty array
   * only says that `signal` fired, or that nothing is left below `limit.before`; without `before` it may also say that the
   * log works again after a read that has failed.
   */
  read(limit: ReadLimit, signal: AbortSignal): Promise<LogRecord[]>
  /** Stores the journal and the state changes in one step, durably. Throws `Fenced` once someone else has the partition. */
  commit(committed: Committed, changes?: readonly StateChange[]): Promise<void>
  /** The offset that the next appended record will get. `end - committed.from` is the lag. */
  end(): Promise<number>
  /** Whether this lane may write: it has heard from the coordinator within the session timeout. Throws `Fenced` if not. */
  assertOwned(): void
  /** Nothing more is read or committed through this lane: someone else may have the partition. Never throws. */
  release(): Promise<void>
}

export interface Source {
  /**
   * One per assigned partition, as they are assigned; ends when `signal` fires. The lanes can still commit what they
   * have in hand afterwards, until they are released or another member has the partition.
   */
  lanes(signal: AbortSignal): AsyncIterable<LaneSource>
}

export type Start = 'earliest' | 'latest'

export interface SourceOptions {
  /** Names, or patterns in which `*` stands for any characters; topics that fit are found as they are created. */
  readonly topics: readonly string[]
  readonly group: string
  /** Where a group without a committed position begins. Default `earliest`. */
  readonly start?: Start | undefined
  /** Told why no lanes can be had at present; without an error, that they can again. What concerns one lane, its `read` throws. */
  readonly trouble?: ((error: Error | undefined) => void) | undefined
}

export interface TopicConfig {
  readonly partitions: number
  /** Records older than this may be dropped. Milliseconds; 0 keeps them for ever. */
  readonly retentionMs: number
  /** A partition larger than this drops its oldest records. 0: no bound. */
  readonly retentionBytes: number
  /** Keep only the newest record of each key. */
  readonly compact: boolean
}

export interface TopicInfo {
  readonly name: string
  readonly config: TopicConfig
  readonly partitions: readonly {
    readonly partition: number
    /** Offset of the oldest record that is kept. */
    readonly start: number
    /** Offset that the next record will get. */
    readonly end: number
    readonly records: number
    readonly bytes: number
  }[]
}

export interface AppendOptions {
  /**
   * Makes a repeated append harmless: left out is what this producer has already appended to this topic with the same
   * sequence or a higher one. `sequence` is that of all records, or one for each, ascending. If all are left out, the
   * state is not changed either, and the answer is an empty array.
   */
  readonly once?: { readonly producer: string; readonly sequence: number | readonly number[] } | undefined
  /**
   * State that becomes durable together with the records, in the given scope. After an error that is `Retryable`, the same
   * call with the very same array of records is the same append: it is stored once.
   */
  readonly state?: { readonly scope: string; readonly changes: readonly StateChange[] } | undefined
}

/** Partitioned, durable topics: LMDB in the process, or Kafka. */
export interface EventLog {
  /**
   * Answers only after all records are durable; all of them or none. Concurrent calls share one commit.
   * Throws `NotFound` (`topic_not_found`) for a topic that was never created, `Retryable` when the log cannot take
   * more at present (`disk_full`, `log_unavailable`).
   */
  append(topic: string, records: readonly NewRecord[], options?: AppendOptions): Promise<Position[]>
  source(options: SourceOptions): Source
  /** Records from an offset on, without a group, without waiting. */
  read(partition: TopicPartition, from: number, limit: ReadLimit): Promise<LogRecord[]>
  /**
   * Resolves when some partition of the topics may have grown since the call, or when the signal fires. So that nothing
   * is missed, call it before the read that finds nothing, and await it afterwards.
   */
  grown(topics: readonly string[], signal: AbortSignal): Promise<void>
  topics(): Promise<TopicInfo[]>
  /** Creates the topic or, if it is there, changes what can be changed (everything but fewer partitions). */
  ensureTopic(name: string, config?: Partial<TopicConfig>): Promise<void>
  /** State written by `append`'s `state` option. */
  state(scope: string): StateReader
  /** What each group has committed, for lag and for tools. */
  groups(): Promise<readonly { group: string; partition: TopicPartition; committed: Committed }[]>
  close(): Promise<void>
}
