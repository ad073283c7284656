import { setTimeout as sleep } from 'node:timers/promises'
import { type LogRecord, sizeOf, type TopicPartition } from '../../src/core/event.ts'
import type { ReadLimit } from '../../src/core/event-log.ts'
import type { Cluster } from './cluster.ts'
import { decompress } from './codecs.ts'
import { BrokerError, explain, isConnectionLost, isMetadataStale, isOffsetOutOfRange } from './errors.ts'
import type { FetchedPartition } from './group/fetch-answer.ts'
import { RecordReader, readBatches } from './group/record-batch.ts'
import { type FetchOne, fetchOne } from './requests.ts'
import type { TopicMetadata } from './topic-metadata.ts'

const [leastBytes, mostBytes] = [64 * 1024, 8 * 1024 * 1024]
const patienceMs = 10_000
/** How long a read waits for the markers of transactions that have been committed just now. */
const settleMs = 1000
const [earliest, latest] = [-2, -1]

/** Reads partitions without a group. */
export class PartitionReader {
  readonly #cluster: Cluster
  readonly #topics: TopicMetadata

  constructor(cluster: Cluster, topics: TopicMetadata) {
    this.#cluster = cluster
    this.#topics = topics
  }

  /** Committed records from an offset on; empty when there are none. Throws `NotFound`. */
  async read(place: TopicPartition, from: number, limit: ReadLimit): Promise<LogRecord[]> {
    const count = await this.#topics.count(place.topic, place.partition + 1)
    if (place.partition >= count) return []
    const collected = new Collected(limit)
    const maxBytes = Math.min(mostBytes, Math.max(leastBytes, limit.bytes))
    let offset = from
    let end: number | undefined
    const began = Date.now()
    for (let maxWaitMs = 0; offset < (limit.before ?? Number.POSITIVE_INFINITY); ) {
      let fetched: FetchedPartition
      try {
        fetched = await this.fetch({ ...place, offset, isolation: 'committed', maxBytes, maxWaitMs })
      } catch (error) {
        if (!isOffsetOutOfRange(error)) throw explain(error, `reading ${place.topic}/${place.partition}`)
        const start = await this.bound(place, 'start')
        if (offset >= start) return collected.records
        offset = start
        continue
      }
      // What was there when the read began; it must not run after a topic that grows.
      end ??= fetched.highWatermark
      const next = await collect(place, fetched, offset, collected)
      if (next === undefined || collected.full) return collected.records
      const waited = next === offset && offset < end && collected.records.length === 0
      if (next >= end || (next === offset && !waited) || (waited && Date.now() - began > settleMs))
        return collected.records
      maxWaitMs = waited ? 20 : 0
      offset = next
    }
    return collected.records
  }

  /** What one fetch answers; waits out changes of leaders. Throws an error that `isOffsetOutOfRange`, among others. */
  async fetch(request: FetchOne): Promise<FetchedPartition> {
    return this.#onLeader(request, async (broker) => {
      const fetched = await fetchOne(broker, request)
      if (fetched.errorCode !== 0) throw new BrokerError(fetched.errorCode)
      return fetched
    })
  }

  /** First offset that is kept, or the offset that the next record will get. */
  async bound(place: TopicPartition, which: 'start' | 'end'): Promise<number> {
    const { topic, partition } = place
    const timestamp = which === 'start' ? earliest : latest
    return this.#onLeader(place, async (broker) => {
      const topics = [{ topic, partitions: [{ partition, timestamp }] }]
      const { responses } = await broker.listOffsets({ replicaId: -1, isolationLevel: 0, topics })
      return Number(responses[0]?.partitions[0]?.offset ?? 0)
    })
  }

  async #onLeader<T>(
    { topic, partition }: TopicPartition,
    request: (broker: Awaited<ReturnType<Cluster['findBroker']>>) => Promise<T>,
  ): Promise<T> {
    const began = Date.now()
    for (let pause = 20; ; pause = Math.min(pause * 2, 500)) {
      try {
        const found = (await this.#topics.partitions(topic)).find(({ partitionId }) => partitionId === partition)
        if (found === undefined || found.leader < 0) throw new BrokerError(found === undefined ? 3 : 5)
        return await request(await this.#cluster.findBroker({ nodeId: found.leader }))
      } catch (error) {
        if (!(isMetadataStale(error) || isConnectionLost(error)) || Date.now() - began > patienceMs) throw error
      }
      await sleep(pause)
      await this.#topics.refresh().catch(() => undefined)
    }
  }
}

/** The records of one read, within its limits. */
class Collected {
  readonly records: LogRecord[] = []
  readonly #limit: ReadLimit
  #bytes = 0
  full = false

  constructor(limit: ReadLimit) {
    this.#limit = limit
  }

  add(record: LogRecord): void {
    const { events, bytes, before } = this.#limit
    const size = sizeOf(record)
    const fits = this.records.length === 0 ? events > 0 : this.records.length < events && this.#bytes + size <= bytes
    if (!fits || record.offset >= (before ?? Number.POSITIVE_INFINITY)) {
      this.full = true
      return
    }
    this.#bytes += size
    this.records.push(record)
  }
}

/** Answers where to read on; `undefined` once the limits are reached. */
async function collect(
  place: TopicPartition,
  fetched: FetchedPartition,
  offset: number,
  collected: Collected,
): Promise<number | undefined> {
  const { batches, end } = readBatches(fetched.records, fetched.aborted)
  for (const batch of batches) {
    const reader = new RecordReader(batch, await decompress(batch.codec, batch.content), place)
    for (let record = reader.next(); record !== undefined; record = reader.next()) {
      if (record.offset >= offset) collected.add(record)
      if (collected.full) return undefined
    }
  }
  return Math.max(offset, end ?? offset)
}
