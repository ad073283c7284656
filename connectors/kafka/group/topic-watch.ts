import { isTopicPattern, matchesTopic } from '../../../src/core/topic-pattern.ts'
import type { Cluster } from '../cluster.ts'
import { pause } from './backoff.ts'
import type { Subscription } from './subscription.ts'

const everyMs = 2000
/** A broker that has just started may not know every topic yet. */
const goneAfterMs = 5000
const namingMs = 1000

/** Numbers of partitions, by topic. */
export type PartitionCounts = ReadonlyMap<string, number>

/** Answers the topics among `names` that exist; all topics when it is `'all'`. */
export type LookUpTopics = (names: readonly string[] | 'all') => Promise<PartitionCounts>

export function topicsOf(cluster: Cluster): LookUpTopics {
  return async (names) => {
    if (names.length === 0) return new Map()
    const broker = await cluster.brokerPool.findConnectedBroker()
    const { topicMetadata } = await broker.metadata(names === 'all' ? [] : names)
    return new Map(topicMetadata.map(({ topic, partitionMetadata }) => [topic, partitionMetadata.length]))
  }
}

/** The topics of a group as its leader knows them. While this member leads, they are looked at again and again. */
export class TopicWatch {
  readonly #lookUp: LookUpTopics
  readonly #signal: AbortSignal
  /** Since when a topic is missing that was there before. */
  readonly #missing = new Map<string, number>()
  #known: PartitionCounts = new Map()
  #watching: AbortController | undefined
  #named: readonly string[] = []

  /** `signal` ends it. */
  constructor(lookUp: LookUpTopics, signal: AbortSignal) {
    this.#lookUp = lookUp
    this.#signal = signal
  }

  /** What there is for a round that this member leads. `changed` is called once when that is no longer so. */
  async lead(members: readonly Subscription[], changed: () => void): Promise<PartitionCounts> {
    this.rest()
    const asked = [...new Set(members.flatMap(({ topics }) => topics))]
    const owned = new Map<string, number>()
    for (const { topic, partition } of members.flatMap((member) => member.owned))
      owned.set(topic, Math.max(owned.get(topic) ?? 0, partition + 1))
    const look = async () => this.#settle(await this.#find(asked, owned), owned)
    this.#known = await look()
    const watching = new AbortController()
    this.#watching = watching
    void this.#watch(look, changed, AbortSignal.any([watching.signal, this.#signal]))
    return this.#known
  }

  /** The topics that the names and patterns stand for, as far as that can be found out soon. */
  async named(topics: readonly string[]): Promise<readonly string[]> {
    if (!topics.some(isTopicPattern)) return topics
    const look = this.#lookUp('all').then(
      (found) => {
        this.#named = [...found.keys()].filter((topic) => matchesTopic(topics, topic))
      },
      () => undefined,
    )
    await Promise.race([look, pause(namingMs, this.#signal)])
    return this.#named
  }

  /** Someone else leads now. */
  rest(): void {
    this.#watching?.abort()
    this.#watching = undefined
  }

  async #watch(look: () => Promise<PartitionCounts>, changed: () => void, signal: AbortSignal): Promise<void> {
    const planned = this.#known
    for (;;) {
      await pause(everyMs, signal)
      if (signal.aborted) return
      // The brokers may be away; the next look is as good.
      const found = await look().catch(() => planned)
      if (signal.aborted) return
      if (!same(found, planned)) return changed()
    }
  }

  async #find(asked: readonly string[], owned: PartitionCounts): Promise<PartitionCounts> {
    const names = [...new Set([...asked, ...owned.keys()])]
    if (!names.some(isTopicPattern)) return this.#lookUp(names)
    const all = await this.#lookUp('all')
    return new Map([...all].filter(([topic]) => owned.has(topic) || matchesTopic(asked, topic)))
  }

  /** A topic counts as gone when it has been missing for a while. */
  #settle(found: PartitionCounts, owned: PartitionCounts): PartitionCounts {
    const now = performance.now()
    const counts = new Map(found)
    for (const topic of found.keys()) this.#missing.delete(topic)
    for (const [topic, count] of new Map([...this.#known, ...owned])) {
      if (found.has(topic)) continue
      const since = this.#missing.get(topic) ?? now
      this.#missing.set(topic, since)
      if (now - since < goneAfterMs) counts.set(topic, Math.max(count, this.#known.get(topic) ?? 0))
    }
    return counts
  }
}

function same(a: PartitionCounts, b: PartitionCounts): boolean {
  return a.size === b.size && [...a].every(([topic, count]) => b.get(topic) === count)
}
