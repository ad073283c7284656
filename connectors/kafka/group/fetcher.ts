import { Fatal, type MillraceError, Retryable } from '../../../src/core/errors.ts'
import type { TopicPartition } from '../../../src/core/event.ts'
import type { Cluster } from '../cluster.ts'
import { explain } from '../errors.ts'
import { TopicMetadata } from '../topic-metadata.ts'
import { backOff, pause } from './backoff.ts'
import { Bell } from './bell.ts'
import { dropConnections } from './connections.ts'
import type { FetchedPartition } from './fetch-answer.ts'
import { requestFetch } from './fetch-request.ts'
import { partitionKey } from './planning.ts'

/** A lane, as what is fetched for it sees it. */
export interface FetchTarget {
  readonly partition: TopicPartition
  readonly offset: number
  /** How many bytes it would take now; 0 when it has enough. */
  readonly room: number
  accept(fetched: FetchedPartition): void
  /** `offset` is below or beyond what the partition holds. Resolves when it was put right. */
  outOfRange(): Promise<void>
  /** Nothing can be had at present, for a while already, or ever. */
  trouble(error: MillraceError): void
}

/** How long a broker may wait for a first record when every partition is asked for, and when some are left out. */
const longPollMs = 500
const shortPollMs = 20
const answerBytes = 8 << 20
/** Failures that are over sooner are not worth telling. */
const troubleAfterMs = 3000
/** How long a partition that a broker refuses is left alone. */
const refusedMs = 1000
/** So many empty answers to a partition that has more are no coincidence. */
const emptyAnswers = 3

/** Stands for finding out who leads what. */
const metadata = -1

const codes = { none: 0, outOfRange: 1, unauthorized: 29 } as const
/** Another broker leads the partition, or will soon, or the topic is gone. */
const staleLeader: ReadonlySet<number> = new Set([3, 5, 6, 9, 13, 56, 74, 75, 76, 78, 100])

interface Fetching {
  readonly target: FetchTarget
  leader: number | undefined
  /** What is known of its leader was wrong. */
  stale: boolean
  /** Not asked for until then, by `performance.now()`. */
  pausedUntil: number
  empties: number
}

/**
 * Fetches for the lanes of one member: one loop for each broker that leads some of their partitions, with one request
 * under way at a time. Only lanes with room are asked for, so what waits in memory is bounded.
 */
export class Fetcher {
  readonly #cluster: Cluster
  readonly #topics: TopicMetadata
  readonly #signal: AbortSignal
  readonly #fetching = new Map<string, Fetching>()
  readonly #loops = new Map<number, Promise<void>>()
  readonly #hungry = new Bell()
  /** Consecutive failures, and since when, by broker. */
  readonly #failures = new Map<number, { count: number; readonly since: number }>()
  #routing: Promise<void> | undefined
  #turn = 0

  /** The cluster's fetches go over a connection of their own. `signal` ends it. */
  constructor(cluster: Cluster, signal: AbortSignal) {
    this.#cluster = cluster
    this.#topics = new TopicMetadata(cluster)
    this.#signal = signal
  }

  add(target: FetchTarget): void {
    const fetching = { target, leader: undefined, stale: false, pausedUntil: 0, empties: 0 }
    this.#fetching.set(partitionKey(target.partition), fetching)
    this.#route()
  }

  remove(target: FetchTarget): void {
    const key = partitionKey(target.partition)
    if (this.#fetching.get(key)?.target === target) this.#fetching.delete(key)
    this.wake()
  }

  /** A lane has room again. */
  wake(): void {
    this.#hungry.ring()
  }

  /** Resolves when nothing is under way; to be awaited once `signal` has fired and the connections are closed. */
  async ended(): Promise<void> {
    await this.#routing
    await Promise.all(this.#loops.values())
  }

  #route(): void {
    this.#routing ??= this.#findLeaders().finally(() => {
      this.#routing = undefined
      if (!this.#signal.aborted && this.#leaderless().length > 0) this.#route()
    })
  }

  #leaderless(): Fetching[] {
    return [...this.#fetching.values()].filter(({ leader }) => leader === undefined)
  }

  async #findLeaders(): Promise<void> {
    for (let failures = 0; !this.#signal.aborted; failures++) {
      const lost = this.#leaderless()
      if (lost.length === 0) return
      try {
        if (failures > 0 || lost.some(({ stale }) => stale)) await this.#topics.refresh()
        for (const fetching of lost) {
          fetching.leader = await this.#leaderOf(fetching.target.partition)
          fetching.stale = false
        }
        for (const { leader } of lost) if (leader !== undefined) this.#startLoop(leader)
        const without = lost.find(({ leader }) => leader === undefined)
        if (without) throw new Error(`${partitionKey(without.target.partition)} has no leader`)
        this.#failures.delete(metadata)
      } catch (error) {
        this.#failed(
          metadata,
          error,
          lost.filter(({ leader }) => leader === undefined),
        )
        await backOff(failures, this.#signal)
      }
    }
  }

  async #leaderOf({ topic, partition }: TopicPartition): Promise<number | undefined> {
    const partitions = await this.#topics.partitions(topic)
    const leader = partitions.find(({ partitionId }) => partitionId === partition)?.leader
    return leader === undefined || leader < 0 ? undefined : leader
  }

  #startLoop(node: number): void {
    if (this.#loops.has(node)) {
      this.wake()
      return
    }
    const loop = this.#loop(node).finally(() => {
      this.#loops.delete(node)
      // A partition that was found to be led by it just now.
      if (!this.#signal.aborted && this.#ledBy(node).length > 0) this.#startLoop(node)
    })
    this.#loops.set(node, loop)
  }

  #ledBy(node: number): Fetching[] {
    return [...this.#fetching.values()].filter(({ leader }) => leader === node)
  }

  async #loop(node: number): Promise<void> {
    while (!this.#signal.aborted) {
      const led = this.#ledBy(node)
      if (led.length === 0) return
      const now = performance.now()
      const hungry = led.filter(({ target, pausedUntil }) => pausedUntil <= now && target.room > 0)
      if (hungry.length === 0) {
        const paused = led.some(({ pausedUntil }) => pausedUntil > now)
        await this.#hungry.next([this.#signal], paused ? 100 : undefined)
        continue
      }
      try {
        await this.#fetch(node, this.#order(hungry), hungry.length === led.length)
        this.#failures.delete(node)
      } catch (error) {
        if (!this.#signal.aborted) await this.#lost(node, led, error)
        return
      }
    }
  }

  /** The broker cannot be reached, or no longer does what it did: it may have moved, or others lead its partitions. */
  async #lost(node: number, led: readonly Fetching[], error: unknown): Promise<void> {
    this.#failed(node, error, led)
    const broker = this.#cluster.brokerPool.brokers[node]
    if (broker) dropConnections(broker)
    await backOff(this.#failures.get(node)?.count ?? 0, this.#signal)
    for (const fetching of led) {
      fetching.leader = undefined
      fetching.stale = true
    }
    this.#route()
  }

  /** All get their turn of being the first, who is given a record however large it is. */
  #order(hungry: readonly Fetching[]): readonly Fetching[] {
    const starved = hungry.find(({ empties }) => empties >= emptyAnswers)
    if (starved) return [starved]
    const first = this.#turn++ % hungry.length
    return [...hungry.slice(first), ...hungry.slice(0, first)]
  }

  async #fetch(node: number, hungry: readonly Fetching[], all: boolean): Promise<void> {
    const broker = await this.#cluster.findBroker({ nodeId: node })
    const fetches = hungry.map(({ target: { partition, offset, room } }) => ({ partition, offset, maxBytes: room }))
    const maxWaitTime = all ? longPollMs : shortPollMs
    const answer = await requestFetch(broker, fetches, { maxWaitTime, maxBytes: answerBytes })
    if (answer.errorCode !== codes.none) throw new Error(`the broker answered a fetch with error ${answer.errorCode}`)
    for (const fetched of answer.partitions) {
      const fetching = this.#fetching.get(partitionKey(fetched))
      // It may have been removed, or replaced by a later lane of the same partition, in the meantime.
      if (fetching && hungry.includes(fetching)) this.#accept(fetching, fetched, hungry.length === 1)
    }
    if (answer.throttle > 0) await pause(answer.throttle, this.#signal)
  }

  #accept(fetching: Fetching, fetched: FetchedPartition, alone: boolean): void {
    const { target } = fetching
    const { errorCode } = fetched
    if (errorCode === codes.none) {
      const before = target.offset
      fetching.pausedUntil = 0
      target.accept(fetched)
      const starving = target.offset === before && fetched.lastStable > before
      fetching.empties = starving ? fetching.empties + 1 : 0
      if (!alone || fetching.empties <= emptyAnswers) return
      // It may be slow to get at them, or have lost them: to go on behind them would be to lose them for good.
      fetching.empties = 0
      fetching.pausedUntil = performance.now() + refusedMs
      target.trouble(withheld(target.partition, before, fetched.lastStable))
    } else if (errorCode === codes.outOfRange) {
      fetching.pausedUntil = Number.POSITIVE_INFINITY
      void this.#putRight(fetching)
    } else if (staleLeader.has(errorCode)) {
      fetching.pausedUntil = performance.now() + 50
      fetching.leader = undefined
      fetching.stale = true
      this.#route()
    } else {
      fetching.pausedUntil = performance.now() + refusedMs
      target.trouble(refused(target.partition, errorCode))
    }
  }

  async #putRight(fetching: Fetching): Promise<void> {
    const { target } = fetching
    try {
      await target.outOfRange()
      fetching.pausedUntil = 0
    } catch (error) {
      target.trouble(explain(error, `reading ${partitionKey(target.partition)}`))
      fetching.pausedUntil = performance.now() + refusedMs
    }
    this.wake()
  }

  #failed(node: number, error: unknown, fetching: readonly Fetching[]): void {
    const now = performance.now()
    const { count, since } = this.#failures.get(node) ?? { count: 0, since: now }
    this.#failures.set(node, { count: count + 1, since })
    const explained = explain(error, 'fetching records')
    if (!(explained instanceof Fatal) && now - since < troubleAfterMs) return
    for (const { target } of fetching) target.trouble(explained)
  }
}

function withheld(partition: TopicPartition, from: number, end: number): Retryable {
  return new Retryable({
    code: 'log_unavailable',
    message: `Kafka: reading ${partitionKey(partition)}: the broker answers nothing from offset ${from} on, though there is more up to ${end}`,
  })
}

function refused(partition: TopicPartition, errorCode: number): MillraceError {
  const where = `Kafka: reading ${partitionKey(partition)}`
  if (errorCode === codes.unauthorized)
    return new Fatal({
      code: 'not_authorized',
      message: `${where}: not allowed`,
      hint: 'give this user the right to read the topic',
    })
  return new Retryable({ code: 'log_unavailable', message: `${where}: the broker answers error ${errorCode}` })
}
