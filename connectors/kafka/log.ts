import { Fatal, InvalidInput } from '../../src/core/errors.ts'
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
import type { StateReader, StateStore } from '../../src/core/state.ts'
import { Appender, batchBytes, bytesOf } from './appender.ts'
import { AtomicAppends } from './atomic-appends.ts'
import { type Cluster, openCluster } from './cluster.ts'
import { committedGroups } from './committed-groups.ts'
import { ExactAppends } from './exact-appends.ts'
import { closeCluster } from './group/connections.ts'
import { Groups } from './group/groups.ts'
import { Growth } from './growth.ts'
import { isInternalTopic } from './internal-topic.ts'
import type { KafkaParts } from './parts.ts'
import { PartitionReader } from './reader.ts'
import type { KafkaSettings, Warn } from './settings.ts'
import { KafkaStateStore } from './state-store.ts'
import { TopicAdmin } from './topic-admin.ts'
import { TopicMetadata } from './topic-metadata.ts'
import type { Share } from './transactor.ts'
import { openWriterParts, type WriterParts } from './writer-parts.ts'

export interface KafkaLogOptions {
  /** Where the state of lanes is kept, instead of in a topic. Whoever opened it closes it. */
  readonly state?: StateStore | undefined
  readonly log?: { warn: Warn } | undefined
}

/**
 * The event log on a Kafka cluster (2.5 or later). Throws `Retryable` (`log_unavailable`) when it does not answer, `Fatal`
 * when it refuses to let this process in.
 */
export async function openKafkaLog(settings: KafkaSettings, options: KafkaLogOptions = {}): Promise<EventLog> {
  const warn: Warn = (message, fields) => options.log?.warn(message, fields)
  return new KafkaLog(settings, await openCluster(settings, 'control', { warn }), warn, options.state)
}

/** The last instant of a `Date`, in milliseconds; the first is as far before 1970. */
const lastTimestamp = 8_640_000_000_000_000

/** What a cluster is opened for when it is first needed. */
interface Appending {
  readonly cluster: Cluster
  readonly appender: Appender
}

class KafkaLog implements EventLog {
  readonly #settings: KafkaSettings
  readonly #warn: Warn
  readonly #control: Cluster
  readonly #topics: TopicMetadata
  readonly #admin: TopicAdmin
  readonly #reader: PartitionReader
  readonly #growth: Growth
  readonly #groups: Groups
  readonly #exact: ExactAppends
  readonly #atomic: AtomicAppends
  readonly #closing = new AbortController()
  readonly #appending: Lazy<Appending>
  readonly #writing: Lazy<WriterParts>
  /** Next partition of records without a key, by topic. */
  readonly #turns = new Map<string, number>()

  constructor(settings: KafkaSettings, control: Cluster, warn: Warn, state: StateStore | undefined) {
    this.#settings = settings
    this.#warn = warn
    this.#control = control
    this.#topics = new TopicMetadata(control)
    this.#admin = new TopicAdmin({ control, topics: this.#topics, settings })
    this.#reader = new PartitionReader(control, this.#topics)
    this.#growth = new Growth(control, this.#topics)
    this.#appending = new Lazy(() => this.#openAppending())
    this.#writing = new Lazy(() => openWriterParts(settings, this.#admin, warn))
    const writing = () => this.#writing.get()
    this.#exact = new ExactAppends(writing)
    this.#atomic = new AtomicAppends(writing)
    const parts: KafkaParts = {
      settings,
      control,
      topics: this.#topics,
      stateStore: state ?? new KafkaStateStore(writing),
      closed: this.#closing.signal,
      warn,
    }
    this.#groups = new Groups(parts)
  }

  async append(topic: string, records: readonly NewRecord[], options: AppendOptions = {}): Promise<Position[]> {
    this.#assertOpen()
    assertNotInternal(topic)
    assertTimestamps(records)
    const count = await this.#topics.count(topic, highestPartition(records) + 1)
    this.#assertOpen()
    const places = records.map((record) => this.#place(topic, count, record))
    const positions =
      options.once || options.state
        ? await this.#appendExact(topic, records, places, options)
        : await this.#appendPlain(topic, records, places)
    if (positions.length > 0) this.#growth.touch(topic)
    return positions
  }

  source(options: SourceOptions): Source {
    this.#assertOpen()
    return this.#groups.source(options)
  }

  read(partition: TopicPartition, from: number, limit: ReadLimit): Promise<LogRecord[]> {
    return this.#reader.read(partition, from, limit)
  }

  grown(topics: readonly string[], signal: AbortSignal): Promise<void> {
    return this.#growth.wait(topics, signal)
  }

  topics(): Promise<TopicInfo[]> {
    return this.#admin.list()
  }

  async ensureTopic(name: string, config?: Partial<TopicConfig>): Promise<void> {
    assertNotInternal(name)
    await this.#admin.ensure(name, config)
  }

  state(scope: string): StateReader {
    return this.#exact.state(scope)
  }

  groups(): Promise<readonly { group: string; partition: TopicPartition; committed: Committed }[]> {
    return committedGroups(this.#control)
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return
    this.#closing.abort()
    this.#growth.close()
    await this.#groups.close()
    const [appending, writing] = await Promise.all([this.#appending.opened(), this.#writing.opened()])
    await Promise.all([appending?.appender.close(), this.#atomic.close(), this.#exact.close()])
    const clusters = [this.#control, appending?.cluster, writing?.cluster]
    await Promise.all(clusters.map(async (cluster) => cluster && closeCluster(cluster)))
  }

  async #appendPlain(topic: string, records: readonly NewRecord[], places: readonly number[]): Promise<Position[]> {
    if (records.length === 0) return []
    const shares = split(topic, records, places)
    const [first] = shares
    if (shares.length === 1 && first && (records.length === 1 || bytesOf(records) <= batchBytes)) {
      const { appender } = await this.#appending.get()
      const offset = await appender.append(topic, first.partition, records)
      return records.map((_, index) => ({ topic, partition: first.partition, offset: offset + index }))
    }
    return positionsOf(topic, places, shares, await this.#atomic.append(shares))
  }

  async #appendExact(
    topic: string,
    records: readonly NewRecord[],
    places: readonly number[],
    { once, state }: AppendOptions,
  ): Promise<Position[]> {
    let left = 0
    const shares = (leftOut: number) => {
      left = leftOut
      return split(topic, records.slice(leftOut), places.slice(leftOut))
    }
    const offsets = await this.#exact.append({ topic, shares, records, once, state })
    if (offsets === undefined) return []
    return positionsOf(topic, places.slice(left), shares(left), offsets)
  }

  #place(topic: string, count: number, { key, partition }: NewRecord): number {
    if (partition !== undefined) {
      if (Number.isInteger(partition) && partition >= 0 && partition < count) return partition
      throw new InvalidInput({
        code: 'bad_partition',
        message: `topic "${topic}" has partitions 0 to ${count - 1}, not ${partition}`,
      })
    }
    if (key !== null) return partitionOf(key, count)
    const turn = this.#turns.get(topic) ?? 0
    this.#turns.set(topic, turn + 1)
    return turn % count
  }

  async #openAppending(): Promise<Appending> {
    const cluster = await openCluster(this.#settings, 'append', { warn: this.#warn })
    const topics = new TopicMetadata(cluster)
    return { cluster, appender: new Appender({ cluster, topics, settings: this.#settings }) }
  }

  #assertOpen(): void {
    if (this.#closing.signal.aborted) throw new Fatal({ code: 'log_closed', message: 'the event log is closed' })
  }
}

/** Made when it is first asked for, and again if that failed. */
class Lazy<T> {
  readonly #make: () => Promise<T>
  #made: Promise<T> | undefined

  constructor(make: () => Promise<T>) {
    this.#make = make
  }

  get(): Promise<T> {
    if (this.#made === undefined) {
      const made = this.#make()
      this.#made = made
      made.catch(() => {
        if (this.#made === made) this.#made = undefined
      })
    }
    return this.#made
  }

  /** `undefined` if nobody has asked for it. */
  async opened(): Promise<T | undefined> {
    return this.#made?.catch(() => undefined)
  }
}

/** What anyone else wrote there, or another retention, would spoil the state of lanes. */
function assertNotInternal(topic: string): void {
  if (!isInternalTopic(topic)) return
  throw new InvalidInput({ code: 'topic_reserved', message: `topic "${topic}" is for Millrace's own records` })
}

/** Throws `InvalidInput` for what is no time: it would spoil the batch for all who share it. */
function assertTimestamps(records: readonly NewRecord[]): void {
  for (const { timestamp } of records)
    if (timestamp !== undefined && !(Math.abs(timestamp) <= lastTimestamp))
      throw new InvalidInput({ code: 'bad_timestamp', message: `${timestamp} is no time in milliseconds since 1970` })
}

/** -1 if no record asks for a partition. */
function highestPartition(records: readonly NewRecord[]): number {
  return records.reduce((highest, { partition = -1 }) => Math.max(highest, partition), -1)
}

/** The records of each partition, in the order in which they were given. */
function split(topic: string, records: readonly NewRecord[], places: readonly number[]): Share[] {
  const shares = new Map<number, NewRecord[]>()
  for (const [index, record] of records.entries()) {
    const partition = places[index] ?? 0
    const share = shares.get(partition)
    if (share) share.push(record)
    else shares.set(partition, [record])
  }
  return [...shares].map(([partition, share]) => ({ topic, partition, records: share }))
}

/** Where each record is, in the order in which they were given. */
function positionsOf(
  topic: string,
  places: readonly number[],
  shares: readonly Share[],
  offsets: readonly (readonly number[])[],
): Position[] {
  const queues = new Map(shares.map(({ partition }, index) => [partition, (offsets[index] ?? []).values()]))
  return places.map((partition) => ({ topic, partition, offset: queues.get(partition)?.next().value ?? -1 }))
}
