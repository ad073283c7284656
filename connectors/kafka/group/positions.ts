import type { TopicPartition } from '../../../src/core/event.ts'
import type { Committed } from '../../../src/core/event-log.ts'
import { isConnectionLost, isCoordinatorMoved, isMetadataStale } from '../errors.ts'
import { decodeJournal, encodeJournal } from '../journal.ts'
import type { KafkaParts } from '../parts.ts'
import { Coordinator } from './connections.ts'
import type { Identity } from './membership.ts'
import { partitionKey } from './planning.ts'

type Bound = 'start' | 'end' | 'stable end'

const timestamps = { start: -2, end: -1, 'stable end': -1 } as const

/** Positions of one group, and the bounds of partitions, by `partitionKey`. Errors are those of kafkajs. */
export class Positions {
  readonly #parts: KafkaParts
  readonly #group: string
  readonly #coordinator: Coordinator
  #asked: { readonly partitions: TopicPartition[]; readonly ends: Promise<ReadonlyMap<string, number>> } | undefined

  constructor(parts: KafkaParts, group: string) {
    this.#parts = parts
    this.#group = group
    this.#coordinator = new Coordinator(parts.control, group)
  }

  /** Partitions without a committed position are left out. */
  async committed(partitions: readonly TopicPartition[]): Promise<Map<string, Committed>> {
    const answer = await this.#withCoordinator(async () => {
      const broker = await this.#coordinator.broker()
      return broker.offsetFetch({
        groupId: this.#group,
        topics: byTopic(partitions, ({ partition }) => ({ partition })),
      })
    })
    const found = new Map<string, Committed>()
    for (const { topic, partitions: places } of answer.responses)
      for (const { partition, offset, metadata } of places)
        if (Number(offset) >= 0) found.set(partitionKey({ topic, partition }), decodeJournal(offset, metadata))
    return found
  }

  async commit({ memberId, generation }: Identity, place: TopicPartition, committed: Committed): Promise<void> {
    await this.#withCoordinator(async () => {
      const broker = await this.#coordinator.broker()
      await broker.offsetCommit({
        groupId: this.#group,
        groupGenerationId: generation,
        memberId,
        topics: [{ topic: place.topic, partitions: [{ partition: place.partition, ...encodeJournal(committed) }] }],
      })
    })
  }

  /** `stable end` is below the records of transactions that are still open. */
  async bounds(partitions: readonly TopicPartition[], bound: Bound): Promise<Map<string, number>> {
    try {
      return await this.#bounds(partitions, bound)
    } catch (error) {
      if (!isMetadataStale(error) && !isConnectionLost(error)) throw error
      await this.#parts.topics.refresh()
      return await this.#bounds(partitions, bound)
    }
  }

  /** The end of one partition. Calls of the same moment share a request. */
  async end(partition: TopicPartition): Promise<number> {
    if (this.#asked) this.#asked.partitions.push(partition)
    else {
      const partitions = [partition]
      const ends = Promise.resolve().then(() => {
        this.#asked = undefined
        return this.bounds(partitions, 'end')
      })
      this.#asked = { partitions, ends }
    }
    return (await this.#asked.ends).get(partitionKey(partition)) ?? 0
  }

  async #bounds(partitions: readonly TopicPartition[], bound: Bound): Promise<Map<string, number>> {
    const { control, topics } = this.#parts
    const leaders = new Map<number, TopicPartition[]>()
    for (const place of partitions) {
      const known = await topics.partitions(place.topic)
      const leader = known.find(({ partitionId }) => partitionId === place.partition)?.leader ?? -1
      if (leader < 0)
        throw Object.assign(new Error(`${partitionKey(place)} has no leader`), { type: 'LEADER_NOT_AVAILABLE' })
      const led = leaders.get(leader)
      if (led) led.push(place)
      else leaders.set(leader, [place])
    }
    const found = new Map<string, number>()
    const ask = async (nodeId: number, led: readonly TopicPartition[]) => {
      const broker = await control.findBroker({ nodeId })
      const { responses } = await broker.listOffsets({
        replicaId: -1,
        isolationLevel: bound === 'stable end' ? 1 : 0,
        topics: byTopic(led, ({ partition }) => ({ partition, timestamp: timestamps[bound] })),
      })
      for (const { topic, partitions: places } of responses)
        for (const { partition, offset } of places) found.set(partitionKey({ topic, partition }), Number(offset))
    }
    await Promise.all([...leaders].map(([nodeId, led]) => ask(nodeId, led)))
    return found
  }

  /** Once more where another broker coordinates the group now, or the connection was closed. */
  async #withCoordinator<T>(request: () => Promise<T>): Promise<T> {
    try {
      return await request()
    } catch (error) {
      if (!isCoordinatorMoved(error) && !isConnectionLost(error)) throw error
      this.#coordinator.forget()
      return await request()
    }
  }
}

function byTopic<T>(
  partitions: readonly TopicPartition[],
  entry: (place: TopicPartition) => T,
): { topic: string; partitions: T[] }[] {
  const topics = new Map<string, T[]>()
  for (const place of partitions) {
    const entries = topics.get(place.topic)
    if (entries) entries.push(entry(place))
    else topics.set(place.topic, [entry(place)])
  }
  return [...topics].map(([topic, entries]) => ({ topic, partitions: entries }))
}
