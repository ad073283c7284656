import { setTimeout as sleep } from 'node:timers/promises'
import type { PartitionMetadata } from 'kafkajs/src/broker/index.js'
import { Fatal, Retryable } from '../../src/core/errors.ts'
import type { TopicConfig, TopicInfo } from '../../src/core/event-log.ts'
import { checkTopic, definedSettings } from '../../src/core/topic-config.ts'
import type { Broker, Cluster } from './cluster.ts'
import { BrokerError, explain, isConnectionLost, isMetadataStale, isUnauthorized, kafkaErrorType } from './errors.ts'
import { isInternalTopic } from './internal-topic.ts'
import { partitionSizes, setTopicConfigs } from './requests.ts'
import type { KafkaSettings } from './settings.ts'
import type { TopicMetadata } from './topic-metadata.ts'

export interface TopicAdminOptions {
  readonly control: Cluster
  readonly topics: TopicMetadata
  readonly settings: Pick<KafkaSettings, 'replication'>
}

const defaults: TopicConfig = {
  partitions: 1,
  retentionMs: 7 * 24 * 60 * 60 * 1000,
  retentionBytes: 0,
  compact: false,
}
const mostPartitions = 10_000
/** What topics of ours are made with, where the cluster allows it. */
const helpful = {
  /** What one append may hold in one batch. */
  'max.message.bytes': String(16 * 1024 * 1024),
  /** Any time is one of an event; Kafka 4 would refuse those that are an hour ahead. */
  'message.timestamp.after.max.ms': String(2n ** 63n - 1n),
}
/** How long it is believed that a topic is as it was made. */
const believedMs = 60_000
const mostBelieved = 10_000
const patienceMs = 20_000
const topicResource = 2
const configNames = ['retention.ms', 'retention.bytes', 'cleanup.policy']

/** Creates, changes and lists topics. */
export class TopicAdmin {
  readonly #options: TopicAdminOptions
  /** What `ensure` has found to be so, until when it need not look again. */
  readonly #believed = new Map<string, number>()

  constructor(options: TopicAdminOptions) {
    this.#options = options
  }

  /** Creates the topic or changes what differs; partitions only ever become more. */
  async ensure(name: string, config: Partial<TopicConfig> = {}, further: Record<string, string> = {}): Promise<void> {
    checkTopic(name, config, mostPartitions)
    const wish = JSON.stringify([name, config])
    if (Date.now() < (this.#believed.get(wish) ?? 0)) return
    await this.#guard(`making topic "${name}"`, async () => {
      const count = await this.#options.topics.find(name)
      if (count === undefined && (await this.#create(name, { ...defaults, ...definedSettings(config) }, further)))
        return
      await this.#adapt(name, config)
    })
    if (this.#believed.size >= mostBelieved) this.#believed.clear()
    this.#believed.set(wish, Date.now() + believedMs)
  }

  async list(): Promise<TopicInfo[]> {
    return this.#guard('listing the topics', async () => {
      const { topics, control } = this.#options
      const found = [...(await topics.describe())].filter(([name]) => !isInternal(name))
      const names = found.map(([name]) => name)
      const [configs, sizes, starts, ends] = await Promise.all([
        this.#configs(names),
        this.#sizes(),
        listOffsets(control, found, 'start'),
        listOffsets(control, found, 'end'),
      ])
      const ordered = found.sort(([one], [other]) => (one < other ? -1 : 1))
      return ordered.map(([name, { length }]) => ({
        name,
        config: { ...(configs.get(name) ?? defaults), partitions: length },
        partitions: Array.from({ length }, (_, partition) => {
          const key = `${name}/${partition}`
          const [start, end] = [starts.get(key) ?? 0, ends.get(key) ?? 0]
          return { partition, start, end, records: Math.max(0, end - start), bytes: sizes.get(key) ?? 0 }
        }),
      }))
    })
  }

  /** Answers `false` if someone else was faster. */
  async #create(name: string, config: TopicConfig, further: Record<string, string>): Promise<boolean> {
    const { control, settings } = this.#options
    const asked = configEntries(config)
    const create = async (entries: Record<string, string>): Promise<boolean> => {
      const topic = {
        topic: name,
        numPartitions: config.partitions,
        replicationFactor: settings.replication ?? -1,
        configEntries: Object.entries(entries).map(([key, value]) => ({ name: key, value })),
      }
      try {
        await (await control.findControllerBroker()).createTopics({ topics: [topic], timeout: 15_000 })
        return true
      } catch (error) {
        if (kafkaErrorType(error) === 'TOPIC_ALREADY_EXISTS') return false
        throw error
      }
    }
    const made = await create({ ...asked, ...helpful, ...further }).catch((error: unknown) => {
      // Older brokers do not know all of them, and hosted ones allow fewer.
      if (['INVALID_CONFIG', 'POLICY_VIOLATION'].includes(kafkaErrorType(error) ?? '')) return create(asked)
      throw error
    })
    await this.#usable(name, made ? config.partitions : 1)
    return made
  }

  /** Waits until every partition has a leader. */
  async #usable(name: string, count: number): Promise<void> {
    const { topics } = this.#options
    for (const end = Date.now() + patienceMs; ; ) {
      const partitions = await topics.partitions(name)
      if (partitions.length >= count && partitions.every(({ leader }) => leader >= 0)) return
      if (Date.now() > end)
        throw new Retryable({
          code: 'log_unavailable',
          message: `Kafka: topic "${name}" has partitions without a leader`,
        })
      await sleep(20)
      await topics.refresh()
    }
  }

  async #adapt(name: string, wish: Partial<TopicConfig>): Promise<void> {
    const { control, topics } = this.#options
    await topics.refresh()
    const count = (await topics.find(name)) ?? 0
    if (wish.partitions !== undefined && wish.partitions > count) {
      const controller = await control.findControllerBroker()
      await controller
        .createPartitions({ topicPartitions: [{ topic: name, count: wish.partitions }], timeout: 15_000 })
        .catch((error: unknown) => {
          // Someone else has just made them more.
          if (kafkaErrorType(error) !== 'INVALID_PARTITIONS') throw error
        })
      await this.#usable(name, wish.partitions)
    }
    const present = (await this.#configs([name])).get(name)
    if (present === undefined) return
    const [before, after] = [configEntries(present), configEntries({ ...present, ...definedSettings(wish) })]
    const changed = Object.entries(after).filter(([key, value]) => before[key] !== value)
    if (changed.length === 0) return
    const entries = changed.map(([key, value]) => ({ name: key, value }))
    const { errorCode, problem } = await setTopicConfigs(await control.findControllerBroker(), name, entries)
    if (errorCode !== 0) throw new BrokerError(errorCode, problem)
  }

  /** Nothing where the right to ask is missing. */
  async #configs(names: readonly string[]): Promise<Map<string, TopicConfig>> {
    if (names.length === 0) return new Map()
    const broker = await this.#options.control.brokerPool.findConnectedBroker()
    const resources = names.map((name) => ({ type: topicResource, name, configNames }))
    const answer = await broker.describeConfigs({ resources }).catch((error: unknown) => {
      if (isUnauthorized(error)) return { resources: [] }
      throw error
    })
    return new Map(
      answer.resources.map(({ resourceName, configEntries: entries }) => {
        const value = (name: string) => entries.find(({ configName }) => configName === name)?.configValue ?? undefined
        return [
          resourceName,
          {
            partitions: 1,
            retentionMs: Math.max(0, Number(value('retention.ms') ?? defaults.retentionMs)),
            retentionBytes: Math.max(0, Number(value('retention.bytes') ?? 0)),
            compact: value('cleanup.policy')?.split(',').includes('compact') ?? false,
          },
        ]
      }),
    )
  }

  /** Bytes on disk by `topic/partition`: of the largest replica. Nothing where the right to ask is missing. */
  async #sizes(): Promise<Map<string, number>> {
    const { control } = this.#options
    const sizes = new Map<string, number>()
    const all = await Promise.all(
      control.getNodeIds().map(async (nodeId) => partitionSizes(await control.findBroker({ nodeId })).catch(() => [])),
    )
    for (const { topic, partition, bytes } of all.flat()) {
      const key = `${topic}/${partition}`
      sizes.set(key, Math.max(bytes, sizes.get(key) ?? 0))
    }
    return sizes
  }

  /** Tries again while the cluster is finding itself. */
  async #guard<T>(doing: string, run: () => Promise<T>): Promise<T> {
    for (const end = Date.now() + patienceMs; ; ) {
      try {
        return await run()
      } catch (error) {
        const passing =
          isMetadataStale(error) || isConnectionLost(error) || kafkaErrorType(error) === 'REQUEST_TIMED_OUT'
        if (!passing || Date.now() > end) {
          if (kafkaErrorType(error) === 'INVALID_REPLICATION_FACTOR')
            throw new Fatal({
              code: 'bad_replication',
              message: `Kafka: ${doing}: the cluster has too few brokers for the replicas that are asked for`,
              hint: 'set kafka.replication in millrace.yaml to at most the number of brokers',
              cause: error,
            })
          throw explain(error, doing)
        }
      }
      await sleep(200)
      await this.#options.topics.refresh().catch(() => undefined)
    }
  }
}

/** Topics of Kafka and of Millrace itself. */
function isInternal(name: string): boolean {
  return name.startsWith('__') || isInternalTopic(name)
}

function configEntries({ retentionMs, retentionBytes, compact }: TopicConfig): Record<string, string> {
  return {
    'retention.ms': String(retentionMs === 0 ? -1 : Math.round(retentionMs)),
    'retention.bytes': String(retentionBytes === 0 ? -1 : Math.round(retentionBytes)),
    'cleanup.policy': compact ? 'compact' : 'delete',
  }
}

/**
 * First or next offsets by `topic/partition`; partitions that no broker answers for are left out.
 */
export async function listOffsets(
  cluster: Cluster,
  wanted: readonly (readonly [topic: string, partitions: readonly PartitionMetadata[]])[],
  which: 'start' | 'end',
): Promise<Map<string, number>> {
  const byLeader = new Map<number, Map<string, number[]>>()
  for (const [topic, partitions] of wanted)
    for (const { partitionId, leader } of partitions) {
      const led = byLeader.get(leader) ?? new Map<string, number[]>()
      led.set(topic, [...(led.get(topic) ?? []), partitionId])
      byLeader.set(leader, led)
    }
  const offsets = new Map<string, number>()
  const timestamp = which === 'start' ? -2 : -1
  const ask = async (broker: Broker, led: Iterable<readonly [string, readonly number[]]>) => {
    const asked = [...led].map(([topic, partitions]) => ({
      topic,
      partitions: partitions.map((partition) => ({ partition, timestamp })),
    }))
    const { responses } = await broker.listOffsets({ replicaId: -1, isolationLevel: 0, topics: asked })
    for (const { topic, partitions } of responses)
      for (const { partition, offset } of partitions) offsets.set(`${topic}/${partition}`, Number(offset))
  }
  await Promise.all(
    [...byLeader].map(async ([leader, led]) => {
      if (leader < 0) return
      const broker = await cluster.findBroker({ nodeId: leader })
      try {
        await ask(broker, led)
      } catch (error) {
        if (isConnectionLost(error)) throw error
        // One partition that cannot be asked for spoils the answer for all: ask for each topic.
        for (const each of led) await ask(broker, [each]).catch(() => undefined)
      }
    }),
  )
  return offsets
}
