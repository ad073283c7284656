import type { PartitionMetadata } from 'kafkajs/src/broker/index.js'
import { NotFound } from '../../src/core/errors.ts'
import { didYouMean } from '../../src/core/nearest.ts'
import type { Cluster } from './cluster.ts'
import { BrokerError, explain, isUnauthorized } from './errors.ts'
import { topicErrorCode } from './requests.ts'

/** Another process may have given a topic more partitions: what is known is looked up again so often. */
const freshMs = 30_000

/** What one cluster connection knows of topics. Fresh answers are asked for where something is missing. */
export class TopicMetadata {
  readonly #cluster: Cluster
  #refreshed = Date.now()

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  /** Number of partitions; `undefined` for a topic that is not there. */
  async find(topic: string): Promise<number | undefined> {
    const partitions = await this.partitions(topic)
    return partitions.length === 0 ? undefined : partitions.length
  }

  /** Number of partitions; looked up anew if there seem to be fewer than `expected`. Throws `NotFound` (`topic_not_found`). */
  async count(topic: string, expected = 1): Promise<number> {
    let count = await this.find(topic)
    if (count !== undefined && count < expected) {
      await this.refresh()
      count = await this.find(topic)
    }
    if (count !== undefined) return count
    throw new NotFound({
      code: 'topic_not_found',
      message: `there is no topic "${topic}"${didYouMean(topic, await this.names())}`,
    })
  }

  /** Ordered by number; empty for a topic that is not there. Throws `Fatal` for one that may not be seen. */
  async partitions(topic: string): Promise<PartitionMetadata[]> {
    try {
      if (this.#cluster.targetTopics.has(topic)) {
        const known = this.#known(topic)
        if (known.length > 0) {
          this.#refreshInTime()
          return known
        }
      }
      await this.#cluster.addMultipleTargetTopics([topic])
      let found = this.#known(topic)
      // The answer may have been on its way already when the topic was asked for.
      if (found.length === 0) {
        await this.#cluster.refreshMetadata()
        found = this.#known(topic)
      }
      if (found.length === 0) {
        this.#cluster.targetTopics.delete(topic)
        await this.#assertVisible(topic)
      }
      return found
    } catch (error) {
      throw explain(error, `reading the metadata of topic "${topic}"`)
    }
  }

  /** All topics that can be used, with their number of partitions. */
  async all(): Promise<Map<string, number>> {
    return new Map([...(await this.describe())].map(([topic, partitions]) => [topic, partitions.length]))
  }

  /** All topics that can be used, with their partitions, as the cluster has them now. */
  async describe(): Promise<Map<string, readonly PartitionMetadata[]>> {
    try {
      const broker = await this.#cluster.brokerPool.findConnectedBroker()
      const { topicMetadata } = await broker.metadata([])
      return new Map(topicMetadata.map(({ topic, partitionMetadata }) => [topic, partitionMetadata]))
    } catch (error) {
      throw explain(error, 'listing the topics')
    }
  }

  async names(): Promise<string[]> {
    return [...(await this.all()).keys()]
  }

  /** Asks again, because something has shown that what is known is out of date. */
  async refresh(): Promise<void> {
    try {
      await this.#cluster.refreshMetadata()
    } catch (error) {
      throw explain(error, 'reading the metadata of topics')
    }
  }

  /** A topic that this user may not see is not one that is missing. */
  async #assertVisible(topic: string): Promise<void> {
    const error = new BrokerError(await topicErrorCode(await this.#cluster.brokerPool.findConnectedBroker(), topic))
    if (isUnauthorized(error)) throw error
  }

  #refreshInTime(): void {
    if (Date.now() - this.#refreshed < freshMs) return
    this.#refreshed = Date.now()
    // What is known still serves if nobody answers; whoever needs the brokers finds out.
    this.refresh().catch(() => undefined)
  }

  #known(topic: string): PartitionMetadata[] {
    return [...this.#cluster.findTopicPartitionMetadata(topic)].sort((a, b) => a.partitionId - b.partitionId)
  }
}
