import { Fenced } from '../../src/core/errors.ts'
import type { LogRecord, TopicPartition } from '../../src/core/event.ts'
import type { Committed, LaneSource, ReadLimit } from '../../src/core/event-log.ts'
import type { StateChange, StateReader } from '../../src/core/state.ts'
import { closedError } from './group-commit.ts'
import { fenced, leaseLost } from './group-store.ts'
import type { LocalMember, LogParts } from './log-parts.ts'
import { type PartitionKey, PartitionReader } from './partition-store.ts'

interface Claim {
  readonly partition: TopicPartition
  readonly key: PartitionKey
  readonly committed: Committed
  readonly epoch: number
}

/** A partition that a group's member holds. */
export class Lane implements LaneSource {
  readonly partition: TopicPartition
  readonly committed: Committed
  readonly epoch: number
  readonly state: StateReader
  readonly #parts: LogParts
  readonly #member: LocalMember
  readonly #key: PartitionKey
  readonly #reader: PartitionReader
  readonly #revocation = new AbortController()

  constructor(parts: LogParts, member: LocalMember, { partition, key, committed, epoch }: Claim) {
    this.#parts = parts
    this.#member = member
    this.#key = key
    this.partition = partition
    this.committed = committed
    this.epoch = epoch
    this.state = parts.state.reader(this.#scope)
    this.#reader = new PartitionReader(parts.partitions, key, partition, committed.from)
  }

  /** Never fires: a lane that another member is to have is revoked at once, since its end costs no more than a replay. */
  readonly leaving: AbortSignal = new AbortController().signal

  get revoked(): AbortSignal {
    return this.#revocation.signal
  }

  revoke(): void {
    this.#revocation.abort(fenced(this.#member.group, this.partition))
  }

  async read(limit: ReadLimit, signal: AbortSignal): Promise<LogRecord[]> {
    const { store, growth, closed } = this.#parts
    while (!signal.aborted) {
      // An empty answer would say that nothing is left below the limit.
      if (closed.aborted) throw closedError()
      if (this.revoked.aborted) throw fenced(this.#member.group, this.partition)
      const wait = growth.wait([this.partition.topic], signal, this.revoked)
      try {
        store.refresh()
        const records = this.#reader.read(limit)
        if (records.length > 0) return records
        if (limit.before !== undefined && this.#reader.offset >= limit.before) return []
        await wait.grown
      } finally {
        wait.cancel()
      }
    }
    return []
  }

  async commit(committed: Committed, changes: readonly StateChange[] = []): Promise<void> {
    const { store, groups, state } = this.#parts
    const { group, id } = this.#member
    if (this.revoked.aborted) throw fenced(group, this.partition)
    try {
      await store.writeEssential(() => {
        groups.commit(group, this.partition, id, this.epoch, committed)
        state.apply(this.#scope, changes)
      })
    } catch (error) {
      if (error instanceof Fenced) this.revoke()
      throw error
    }
  }

  async end(): Promise<number> {
    this.#parts.store.refresh()
    return this.#parts.partitions.head(this.#key).next
  }

  assertOwned(): void {
    if (this.revoked.aborted) throw fenced(this.#member.group, this.partition)
    if (this.#member.leased) return
    // For good, even should a renewal that is on its way arrive after all: whoever was told has given up the lane.
    this.#revocation.abort(leaseLost(this.#member.group, this.partition))
    throw this.revoked.reason
  }

  /** Others may claim the partition as soon as the member has left. */
  async release(): Promise<void> {}

  get #scope(): string {
    return JSON.stringify(['lane', this.#member.group, this.partition.topic, this.partition.partition])
  }
}
