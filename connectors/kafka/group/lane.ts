import { Fenced, type MillraceError } from '../../../src/core/errors.ts'
import type { LogRecord, TopicPartition } from '../../../src/core/event.ts'
import type { Committed, LaneSource, ReadLimit } from '../../../src/core/event-log.ts'
import type { StateChange, StateReader, StateScope, StateStore } from '../../../src/core/state.ts'
import { explain } from '../errors.ts'
import { Bell } from './bell.ts'
import type { FetchedPartition } from './fetch-answer.ts'
import type { FetchTarget } from './fetcher.ts'
import { beyondEnd, logClosed, released, sessionLost } from './group-errors.ts'
import { partitionKey } from './planning.ts'
import type { Positions } from './positions.ts'
import { readBatches } from './record-batch.ts'
import { type Decompress, RecordQueue } from './record-queue.ts'

/** What a lane needs of the member that holds its partition. */
export interface LaneOwner {
  readonly group: string
  readonly positions: Positions
  readonly stateStore: StateStore
  readonly decompress: Decompress
  /** Fires when the log is closed. */
  readonly closed: AbortSignal
  /** Whether the coordinator was heard of within the session timeout. */
  readonly owns: boolean
  /** Bytes that one lane may keep waiting. */
  readonly laneBytes: number
  /** Commits in the member's present generation. Throws `Fenced`, `Retryable`. */
  commit(lane: Lane, committed: Committed): Promise<void>
  /** The lane has room for records again. */
  hungry(): void
  /** The lane is over, for whatever reason. Called once. */
  over(lane: Lane): void
}

/** A partition that a member of a group holds. */
export class Lane implements LaneSource, FetchTarget {
  readonly partition: TopicPartition
  readonly committed: Committed
  readonly state: StateReader
  readonly #owner: LaneOwner
  readonly #queue: RecordQueue
  readonly #leaving = new AbortController()
  readonly #revocation = new AbortController()
  readonly #arrived = new Bell()
  readonly #commits = new Set<Promise<void>>()
  #scope: Promise<StateScope> | undefined
  #trouble: MillraceError | undefined
  /** A read has failed: whether that is over yet. */
  #failed: 'still' | 'over' | undefined

  /** Reading begins at `from`, which is above `committed.from` where records have expired. */
  constructor(owner: LaneOwner, partition: TopicPartition, committed: Committed, from: number) {
    this.#owner = owner
    this.partition = partition
    this.committed = committed
    this.#queue = new RecordQueue(partition, from, owner.decompress)
    const stateOf = () => this.#stateScope()
    this.state = {
      get: async (keys) => (await stateOf()).get(keys),
      scan: async function* (prefix) {
        yield* (await stateOf()).scan(prefix)
      },
    }
  }

  get leaving(): AbortSignal {
    return this.#leaving.signal
  }

  get revoked(): AbortSignal {
    return this.#revocation.signal
  }

  leave(): void {
    this.#leaving.abort()
  }

  revoke(reason: MillraceError): void {
    if (this.revoked.aborted) return
    this.#revocation.abort(reason)
    this.#queue.clear()
    this.#owner.over(this)
  }

  async read(limit: ReadLimit, signal: AbortSignal): Promise<LogRecord[]> {
    const { closed } = this.#owner
    while (!signal.aborted) {
      // An empty answer would say that nothing is left below the limit.
      this.#check()
      const wasHungry = this.room > 0
      const records = await this.#take(limit)
      if (!wasHungry && this.room > 0) this.#owner.hungry()
      if (records.length > 0) return records
      const { before } = limit
      if (before !== undefined && this.#queue.drainedBelow(before)) return []
      // Something came while the last of what was there was read.
      if (!this.#queue.empty) continue
      this.#throwTrouble()
      if (before === undefined && this.#recovered()) return []
      await this.#arrived.next([signal, this.revoked, closed])
    }
    return []
  }

  async #take(limit: ReadLimit): Promise<LogRecord[]> {
    try {
      return await this.#queue.take(limit)
    } catch (error) {
      throw explain(error, `reading ${partitionKey(this.partition)}`)
    }
  }

  async commit(committed: Committed, changes: readonly StateChange[] = []): Promise<void> {
    this.#check()
    const commit = this.#commit(committed, changes)
    this.#commits.add(commit)
    try {
      await commit
    } catch (error) {
      const explained = explain(error, `committing ${partitionKey(this.partition)} of group "${this.#owner.group}"`)
      if (explained instanceof Fenced) this.revoke(explained)
      throw explained
    } finally {
      this.#commits.delete(commit)
    }
  }

  async #commit(committed: Committed, changes: readonly StateChange[]): Promise<void> {
    this.assertOwned()
    if (changes.length > 0) {
      const scope = await this.#stateScope()
      await scope.prepare(committed.from, changes)
      this.#check()
    }
    await this.#owner.commit(this, committed)
  }

  /** Resolves once no commit is under way. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#commits)
  }

  async end(): Promise<number> {
    try {
      const end = await this.#owner.positions.end(this.partition)
      // What follows the last record is of the log itself, and never handed out: it is no lag.
      const drained = this.#queue.empty && this.#queue.fetched >= end
      return drained ? (this.#queue.handedOut ?? this.committed.from) : end
    } catch (error) {
      throw explain(error, `reading the end of ${partitionKey(this.partition)}`)
    }
  }

  assertOwned(): void {
    this.#check()
    if (this.#owner.owns) return
    // For good, even should an answer that is on its way arrive after all: whoever was told has given up the lane.
    const lost = sessionLost(this.#owner.group, this.partition)
    this.revoke(lost)
    throw lost
  }

  async release(): Promise<void> {
    this.revoke(released(this.#owner.group, this.partition))
    await this.settled()
  }

  /** Compressed bytes that were fetched and not yet read. */
  get waitingBytes(): number {
    return this.#queue.bytes
  }

  get offset(): number {
    return this.#queue.fetched
  }

  get room(): number {
    if (this.revoked.aborted || this.leaving.aborted) return 0
    const most = this.#owner.laneBytes
    const waiting = this.waitingBytes
    return waiting > most / 2 ? 0 : most - waiting
  }

  accept({ records, aborted }: FetchedPartition): void {
    this.#trouble = undefined
    if (this.#failed === 'still') {
      this.#failed = 'over'
      this.#arrived.ring()
    }
    if (records.length === 0 || this.revoked.aborted) return
    try {
      this.#queue.add(readBatches(records, aborted))
    } catch (error) {
      this.#trouble = explain(error, `reading ${partitionKey(this.partition)}`)
    }
    this.#arrived.ring()
  }

  async outOfRange(): Promise<void> {
    const { positions, group } = this.#owner
    const at = this.#queue.fetched
    const [starts, ends] = await Promise.all([
      positions.bounds([this.partition], 'start'),
      positions.bounds([this.partition], 'end'),
    ])
    const key = partitionKey(this.partition)
    const start = starts.get(key) ?? at
    const end = ends.get(key) ?? at
    if (at < start) {
      this.#queue.jump(start)
      this.#arrived.ring()
    } else if (at > end) throw beyondEnd(group, this.partition, at, end)
  }

  trouble(error: MillraceError): void {
    this.#trouble = error
    this.#arrived.ring()
  }

  #throwTrouble(): void {
    const trouble = this.#trouble
    this.#trouble = undefined
    if (!trouble) return
    this.#failed = 'still'
    throw trouble
  }

  /** True once after each failure. */
  #recovered(): boolean {
    const recovered = this.#failed === 'over'
    if (recovered) this.#failed = undefined
    return recovered
  }

  #check(): void {
    if (this.revoked.aborted) throw this.revoked.reason
    if (this.#owner.closed.aborted) throw logClosed()
  }

  /** Taken over when it is first needed: most pipelines keep no state. */
  async #stateScope(): Promise<StateScope> {
    this.#check()
    const { stateStore, group } = this.#owner
    const { topic, partition } = this.partition
    const name = JSON.stringify(['lane', group, topic, partition])
    this.#scope ??= stateStore.takeOver(name, this.committed.from)
    const taking = this.#scope
    try {
      return await taking
    } catch (error) {
      if (this.#scope === taking) this.#scope = undefined
      throw error
    }
  }
}
