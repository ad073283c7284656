import { InvalidInput } from '../../src/core/errors.ts'
import type { LogRecord, NewRecord, Position, TopicPartition } from '../../src/core/event.ts'
import type {
  AppendOptions,
  Committed,
  EventLog,
  ReadLimit,
  Source,
  SourceOptions,
  TopicConfig,
  TopicInfo,
} from '../../src/core/event-log.ts'
import { partitionOf } from '../../src/core/partitioner.ts'
import type { StateReader } from '../../src/core/state.ts'
import { checkTopic } from '../../src/core/topic-config.ts'
import { encodeRecords, type Piece } from './chunk.ts'
import { GroupMember } from './group-member.ts'
import { GroupStore } from './group-store.ts'
import { Growth } from './growth.ts'
import type { LogParts } from './log-parts.ts'
import { Maintenance } from './maintenance.ts'
import { PartitionReader, PartitionStore } from './partition-store.ts'
import { Producers } from './producers.ts'
import { StateStore } from './state-store.ts'
import { openStore, type Store } from './store.ts'
import { mostPartitions, type Topic, Topics } from './topics.ts'

export interface EmbeddedLogOptions {
  /** How long a silent member keeps its partitions, milliseconds. Default 10,000. */
  readonly leaseMs?: number | undefined
  /** How often retention and compaction look for work, milliseconds. Default 30,000. */
  readonly maintenanceMs?: number | undefined
  /** How long a compacted topic keeps a tombstone, milliseconds. Default 24 hours. */
  readonly tombstoneMs?: number | undefined
  /** How many new records a compacted topic gathers before it is compacted. Default 1,000. */
  readonly compactAfter?: number | undefined
}

/**
 * Opens the event log in `<folder>/events.mdb`, creating it. Several processes may have it open.
 * Throws `Fatal` (`data_read_only`, `data_unusable`, `package_missing`) or `Retryable` (`disk_full`).
 */
export async function openEmbeddedLog(folder: string, options: EmbeddedLogOptions = {}): Promise<EventLog> {
  return new EmbeddedLog(await openStore(folder, 'events'), options)
}

class EmbeddedLog implements EventLog {
  readonly #parts: LogParts
  readonly #producers: Producers
  readonly #maintenance: Maintenance
  readonly #closing = new AbortController()
  /** Next partition of records without a key, by topic. */
  readonly #turns = new Map<string, number>()

  constructor(store: Store, options: EmbeddedLogOptions) {
    const { leaseMs = 10_000, maintenanceMs = 30_000, tombstoneMs = 24 * 60 * 60 * 1000, compactAfter = 1000 } = options
    const growth = new Growth(store)
    const partitions = new PartitionStore(store)
    this.#parts = {
      store,
      growth,
      partitions,
      topics: new Topics(store),
      groups: new GroupStore(store),
      state: new StateStore(store),
      leaseMs,
      members: new Set(),
      closed: this.#closing.signal,
    }
    this.#producers = new Producers(store)
    this.#maintenance = new Maintenance(this.#parts, { everyMs: maintenanceMs, tombstoneMs, minimum: compactAfter })
    store.onCommit({
      finish: () => {
        partitions.flush()
        growth.finish()
      },
      durable: () => growth.durable(),
      undone: () => {
        partitions.discard()
        growth.undone()
      },
    })
  }

  async append(topicName: string, records: readonly NewRecord[], options: AppendOptions = {}): Promise<Position[]> {
    const { store, topics } = this.#parts
    store.refresh()
    const topic = topics.get(topicName)
    const places = records.map((record) => this.#place(topic, record))
    const shares = split(records, places)
    const bytes = shares.reduce(
      (sum, share) => sum + share.pieces.reduce((all, piece) => all + piece.bytes.length, 0),
      0,
    )
    return store.write(bytes, () => {
      const left = this.#leftOut(topic, records.length, options.once)
      if (left === 'all') return []
      if (options.state) this.#parts.state.apply(appendScope(options.state.scope), options.state.changes)
      if (left === 0) return this.#put(topic, places, shares)
      const fresh = places.slice(left)
      return this.#put(topic, fresh, split(records.slice(left), fresh))
    })
  }

  /** Inside a transaction: how many of the records, from the first on, the producer has appended before. */
  #leftOut({ id }: Topic, count: number, once: AppendOptions['once']): number | 'all' {
    if (!once) return 0
    const { producer, sequence } = once
    const sequences = typeof sequence === 'number' ? [sequence] : sequence
    const highest = sequences.at(-1)
    if (highest === undefined) return 0
    const last = this.#producers.advance(id, producer, highest)
    if (highest <= last) return 'all'
    return typeof sequence === 'number' ? 0 : Math.min(count, sequences.filter((each) => each <= last).length)
  }

  /** Inside a transaction. */
  #put({ id, name }: Topic, places: readonly number[], shares: readonly Share[]): Position[] {
    const { partitions, growth } = this.#parts
    const next = new Map<number, number>()
    for (const { partition, pieces } of shares)
      next.set(partition, partitions.append({ topicId: id, partition }, pieces))
    if (places.length > 0) growth.touch(name)
    return places.map((partition) => {
      const offset = next.get(partition) ?? 0
      next.set(partition, offset + 1)
      return { topic: name, partition, offset }
    })
  }

  source(options: SourceOptions): Source {
    if (!/^[^\0]{1,500}$/.test(options.group))
      throw new InvalidInput({ code: 'bad_group_name', message: 'a group name has 1 to 500 characters' })
    return { lanes: (signal) => new GroupMember(this.#parts, options).lanes(signal) }
  }

  async read({ topic, partition }: TopicPartition, from: number, limit: ReadLimit): Promise<LogRecord[]> {
    const { store, topics, partitions } = this.#parts
    store.refresh()
    const key = { topicId: topics.get(topic).id, partition }
    return new PartitionReader(partitions, key, { topic, partition }, from).read(limit)
  }

  async grown(topics: readonly string[], signal: AbortSignal): Promise<void> {
    await this.#parts.growth.wait(topics, signal).grown
  }

  async topics(): Promise<TopicInfo[]> {
    const { store, topics, partitions } = this.#parts
    store.refresh()
    return topics.all().map(({ name, id, config }) => ({
      name,
      config,
      partitions: Array.from({ length: config.partitions }, (_, partition) => {
        const { start, next, records, bytes } = partitions.head({ topicId: id, partition })
        return { partition, start, end: next, records, bytes }
      }),
    }))
  }

  async ensureTopic(name: string, config: Partial<TopicConfig> = {}): Promise<void> {
    const { store, topics } = this.#parts
    checkTopic(name, config, mostPartitions)
    store.refresh()
    if (!topics.needs(name, config)) return
    await store.writeEssential(() => topics.ensure(name, config))
  }

  state(scope: string): StateReader {
    return this.#parts.state.reader(appendScope(scope))
  }

  async groups(): Promise<readonly { group: string; partition: TopicPartition; committed: Committed }[]> {
    this.#parts.store.refresh()
    return this.#parts.groups.places()
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.#parts.growth.close()
    // Also those whose consumer no longer listens: the next process, or log, need not wait for their leases.
    await Promise.all([...this.#parts.members].map((member) => member.leave()))
    await this.#maintenance.close()
    await this.#parts.store.close()
  }

  #place({ name, config }: Topic, { key, partition }: NewRecord): number {
    if (partition !== undefined) {
      if (Number.isInteger(partition) && partition >= 0 && partition < config.partitions) return partition
      throw new InvalidInput({
        code: 'bad_partition',
        message: `topic "${name}" has partitions 0 to ${config.partitions - 1}, not ${partition}`,
      })
    }
    if (key !== null) return partitionOf(key, config.partitions)
    const turn = this.#turns.get(name) ?? 0
    this.#turns.set(name, turn + 1)
    return turn % config.partitions
  }
}

interface Share {
  readonly partition: number
  readonly pieces: readonly Piece[]
}

/** The records of each partition, encoded, in the order in which they were given. */
function split(records: readonly NewRecord[], places: readonly number[]): Share[] {
  const now = Date.now()
  const first = places[0]
  if (first !== undefined && places.every((place) => place === first))
    return [{ partition: first, pieces: encodeRecords(records, now) }]
  const byPartition = new Map<number, NewRecord[]>()
  for (const [index, record] of records.entries()) {
    const partition = places[index] ?? 0
    const share = byPartition.get(partition)
    if (share) share.push(record)
    else byPartition.set(partition, [record])
  }
  return [...byPartition].map(([partition, share]) => ({ partition, pieces: encodeRecords(share, now) }))
}

function appendScope(scope: string): string {
  return JSON.stringify(['append', scope])
}
