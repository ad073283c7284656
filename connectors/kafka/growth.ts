import type { PartitionMetadata } from 'kafkajs/src/broker/index.js'
import type { Cluster } from './cluster.ts'
import { listOffsets } from './topic-admin.ts'
import type { TopicMetadata } from './topic-metadata.ts'

const pollMs = 50
/** Ends that nobody has waited for in so long are forgotten. */
const unusedMs = 5 * 60_000

interface Waiter {
  readonly topics: readonly string[]
  readonly wake: () => void
}

interface Known {
  /** End offsets by partition, as one text. */
  ends: string
  used: number
}

/** Wakes those who wait for topics to grow: one question about the ends of all topics that anyone waits for, again and again. */
export class Growth {
  readonly #cluster: Cluster
  readonly #topics: TopicMetadata
  readonly #waiters = new Set<Waiter>()
  readonly #known = new Map<string, Known>()
  #polling = false
  #closed = false

  constructor(cluster: Cluster, topics: TopicMetadata) {
    this.#cluster = cluster
    this.#topics = topics
  }

  /** Resolves when one of the topics may have grown since the call, or when the signal fires. */
  wait(topics: readonly string[], signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.#waiters.delete(waiter)
        signal.removeEventListener('abort', wake)
        resolve()
      }
      const waiter = { topics, wake }
      if (this.#closed || signal.aborted) return resolve()
      signal.addEventListener('abort', wake, { once: true })
      this.#waiters.add(waiter)
      if (!this.#polling) void this.#poll()
    })
  }

  /** The topic has grown by an append of this process. */
  touch(topic: string): void {
    for (const waiter of [...this.#waiters]) if (waiter.topics.includes(topic)) waiter.wake()
  }

  close(): void {
    this.#closed = true
    for (const waiter of [...this.#waiters]) waiter.wake()
  }

  async #poll(): Promise<void> {
    this.#polling = true
    while (this.#waiters.size > 0 && !this.#closed) {
      // A cluster that does not answer has not grown either; whoever reads is told what is wrong.
      await this.#ask().catch(() => this.#topics.refresh().catch(() => undefined))
      await new Promise((resolve) => setTimeout(resolve, pollMs))
    }
    this.#polling = false
  }

  async #ask(): Promise<void> {
    const waiters = [...this.#waiters]
    const topics = [...new Set(waiters.flatMap((waiter) => waiter.topics))]
    const wanted: [string, readonly PartitionMetadata[]][] = []
    for (const topic of topics) wanted.push([topic, await this.#topics.partitions(topic)])
    const found = await listOffsets(this.#cluster, wanted, 'end')
    const ends = new Map<string, string>()
    for (const [place, end] of found) {
      const topic = place.slice(0, place.lastIndexOf('/'))
      ends.set(topic, `${ends.get(topic) ?? ''}${place}=${end} `)
    }
    const now = Date.now()
    for (const topic of topics) {
      const before = this.#known.get(topic)?.ends
      const after = ends.get(topic) ?? ''
      this.#known.set(topic, { ends: after, used: now })
      // Without an end from before the call it cannot be said that the topic has not grown.
      if (before !== after) for (const waiter of waiters) if (waiter.topics.includes(topic)) waiter.wake()
    }
    for (const [topic, { used }] of this.#known) if (now - used > unusedMs) this.#known.delete(topic)
  }
}
