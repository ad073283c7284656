import { setMaxListeners } from 'node:events'
import type { MillraceError } from '../../../src/core/errors.ts'
import type { TopicPartition } from '../../../src/core/event.ts'
import type { LaneSource, SourceOptions, Start } from '../../../src/core/event-log.ts'
import { type Cluster, openCluster } from '../cluster.ts'
import { decompress } from '../codecs.ts'
import { explain } from '../errors.ts'
import type { KafkaParts } from '../parts.ts'
import { backOff, pause } from './backoff.ts'
import { Bell } from './bell.ts'
import { commitAsMember } from './commits.ts'
import { closeCluster } from './connections.ts'
import { Fetcher } from './fetcher.ts'
import { logClosed, sessionLost, tookTooLong } from './group-errors.ts'
import { Lane, type LaneOwner } from './lane.ts'
import { Membership } from './membership.ts'
import { partitionKey } from './planning.ts'
import { Positions } from './positions.ts'
import { type HeldState, reconcile } from './reconciliation.ts'
import { type StartingPoint, startingPoints } from './starting-points.ts'
import { TopicWatch, topicsOf } from './topic-watch.ts'

interface HeldPartition {
  readonly partition: TopicPartition
  lane: Lane | undefined
  /** Revokes a lane that takes too long to leave. */
  grace: NodeJS.Timeout | undefined
}

/** What waits in memory for one lane, and for all lanes of a member. */
const laneBytes = 4 << 20
const memberBytes = 64 << 20
const longestGraceMs = 5000
/** Several partitions that are released one after the other are given on in one round, if it does not take longer. */
const gatherMs = 300
const leaveMs = 1000
/** What is over sooner is not worth telling. */
const fewFailures = 5

/** What a running member is made of. */
interface Running {
  readonly fetches: Cluster
  readonly rounds: Cluster
  readonly fetcher: Fetcher
  readonly membership: Membership
}

/**
 * One member of a consumer group: holds the partitions that the group's leader gives it, opens a lane for each, and gives
 * up what is wanted elsewhere once its lane is done. It stays in the group until its last lane is released, also when
 * nobody asks for lanes any more.
 */
export class GroupMember {
  readonly #parts: KafkaParts
  readonly #group: string
  readonly #topics: readonly string[]
  readonly #start: Start
  readonly #positions: Positions
  readonly #trouble: (error: MillraceError | undefined) => void
  readonly #onLeft: () => void
  readonly #held = new Map<string, HeldPartition>()
  /** The last commits of lanes that are over, by partition. */
  readonly #settling = new Map<string, Promise<void>>()
  readonly #fresh: Lane[] = []
  readonly #changed = new Bell()
  readonly #end = new AbortController()
  #assigned: readonly TopicPartition[] = []
  #claimed: readonly TopicPartition[] = []
  #generation = -1
  #stopped = false
  #gathering = false
  #failure: MillraceError | undefined
  #running: Running | undefined
  #left: Promise<void> | undefined

  /** `onLeft` is called once the member has left its group and closed its connections. */
  constructor(parts: KafkaParts, { group, topics, start = 'earliest', trouble }: SourceOptions, onLeft: () => void) {
    this.#trouble = (error) => trouble?.(error)
    this.#parts = parts
    this.#group = group
    this.#topics = topics
    this.#start = start
    this.#positions = new Positions(parts, group)
    this.#onLeft = onLeft
    setMaxListeners(0, this.#end.signal)
  }

  async *lanes(signal: AbortSignal): AsyncGenerator<LaneSource> {
    try {
      await this.#join()
      while (!signal.aborted && !this.#parts.closed.aborted) {
        const lane = this.#fresh.shift()
        if (lane?.revoked.aborted === false) yield lane
        if (this.#failure) throw this.#failure
        if (lane === undefined) await this.#changed.next([signal, this.#parts.closed])
      }
    } finally {
      await this.#stop()
    }
  }

  /** Gives up everything at once. Never throws. */
  async close(): Promise<void> {
    this.#stopped = true
    this.#revokeAll(() => logClosed())
    await this.#leave()
  }

  async #join(): Promise<void> {
    const { settings, warn, control } = this.#parts
    const opened = await Promise.allSettled([
      openCluster(settings, 'fetching', { warn }),
      openCluster(settings, 'group', { warn }),
    ])
    const [fetches, rounds] = opened
    if (fetches.status === 'rejected' || rounds.status === 'rejected' || this.#end.signal.aborted) {
      for (const each of opened) if (each.status === 'fulfilled') await closeCluster(each.value)
      throw fetches.status === 'rejected' ? fetches.reason : rounds.status === 'rejected' ? rounds.reason : logClosed()
    }
    const membership = new Membership({
      group: this.#group,
      sessionTimeout: settings.sessionTimeout,
      rounds: rounds.value,
      pulse: fetches.value,
      watch: new TopicWatch(topicsOf(control), this.#end.signal),
      subscription: () => this.#subscription(),
      assigned: (partitions, generation) => this.#assign(partitions, generation),
      lost: () => this.#lose(),
      failed: (error) => this.#fail(error),
      trouble: this.#trouble,
    })
    const fetcher = new Fetcher(fetches.value, this.#end.signal)
    this.#running = { fetches: fetches.value, rounds: rounds.value, fetcher, membership }
    membership.start()
  }

  #subscription() {
    const owned = [...this.#held.values()].map(({ partition }) => partition)
    this.#claimed = owned
    return { topics: this.#stopped ? [] : this.#topics, owned, generation: this.#generation }
  }

  #assign(partitions: readonly TopicPartition[], generation: number): void {
    this.#assigned = partitions
    this.#generation = generation
    this.#reconcile()
  }

  /** Takes, finishes and gives up what the last round and the lanes' ends ask for. */
  #reconcile(): void {
    if (this.#end.signal.aborted) return
    const { open, leave, rejoin } = reconcile({
      assigned: this.#assigned,
      held: [...this.#held.values()].map(({ partition, lane }) => ({ partition, state: stateOf(lane) })),
      claimed: this.#claimed,
      stopped: this.#stopped,
    })
    for (const partition of leave) this.#startLeaving(partition)
    for (const partition of open)
      this.#held.set(partitionKey(partition), { partition, lane: undefined, grace: undefined })
    if (open.length > 0) void this.#open(open)
    if (this.#stopped && this.#held.size === 0) void this.#leave()
    else if (rejoin) void this.#tellOthers()
    this.#changed.ring()
  }

  async #tellOthers(): Promise<void> {
    if (this.#gathering) return
    this.#gathering = true
    const end = performance.now() + gatherMs
    const leaving = () => [...this.#held.values()].some(({ lane }) => stateOf(lane) === 'leaving')
    while (leaving() && performance.now() < end) await this.#changed.next([this.#end.signal], end - performance.now())
    this.#gathering = false
    this.#running?.membership.rejoin()
  }

  #startLeaving(partition: TopicPartition): void {
    const held = this.#held.get(partitionKey(partition))
    if (!held) return
    if (!held.lane) {
      this.#held.delete(partitionKey(partition))
      // Nothing was read yet: it is free at once.
      queueMicrotask(() => this.#reconcile())
      return
    }
    const { lane } = held
    const grace = Math.min(longestGraceMs, this.#parts.settings.sessionTimeout / 3)
    held.grace = setTimeout(() => lane.revoke(tookTooLong(this.#group, partition, grace)), grace)
    lane.leave()
    this.#running?.fetcher.remove(lane)
  }

  async #open(partitions: readonly TopicPartition[]): Promise<void> {
    const { signal } = this.#end
    let waiting = partitions.map((partition) => this.#held.get(partitionKey(partition)))
    for (let failures = 0; ; failures++) {
      // Some may have been lost meanwhile.
      waiting = waiting.filter((held) => held !== undefined && this.#held.get(partitionKey(held.partition)) === held)
      const places = waiting.flatMap((held) => held?.partition ?? [])
      if (places.length === 0 || signal.aborted) return
      try {
        await Promise.all(places.map((partition) => this.#settling.get(partitionKey(partition))))
        const identity = this.#running?.membership.identity
        const found = await startingPoints(places, { positions: this.#positions, start: this.#start, identity })
        for (const held of waiting) if (held) this.#begin(held, found)
        if (failures >= fewFailures) this.#trouble(undefined)
        this.#changed.ring()
        return
      } catch (error) {
        if (failures >= fewFailures) this.#trouble(explain(error, `reading the positions of group "${this.#group}"`))
        await backOff(failures, signal)
      }
    }
  }

  #begin(held: HeldPartition, found: ReadonlyMap<string, StartingPoint>): void {
    const key = partitionKey(held.partition)
    const position = found.get(key)
    if (!this.#running || !position || this.#held.get(key) !== held || this.#stopped) return
    const lane = new Lane(this.#owner(this.#running), held.partition, position.committed, position.from)
    held.lane = lane
    this.#fresh.push(lane)
    this.#running.fetcher.add(lane)
  }

  #owner({ membership, fetcher }: Running): LaneOwner {
    const held = this.#held
    const [group, positions] = [this.#group, this.#positions]
    return {
      group,
      positions,
      stateStore: this.#parts.stateStore,
      decompress,
      closed: this.#parts.closed,
      get owns() {
        return membership.ownership.holds
      },
      get laneBytes() {
        return Math.min(laneBytes, memberBytes / Math.max(1, held.size))
      },
      commit: (lane, committed) => commitAsMember(lane, committed, { group, positions, membership }),
      hungry: () => fetcher.wake(),
      over: (lane) => this.#over(lane),
    }
  }

  /** A lane was released or revoked. */
  #over(lane: Lane): void {
    const key = partitionKey(lane.partition)
    const held = this.#held.get(key)
    this.#running?.fetcher.remove(lane)
    const settling = lane.settled().finally(() => {
      if (this.#settling.get(key) === settling) this.#settling.delete(key)
    })
    this.#settling.set(key, settling)
    if (held?.lane !== lane) return
    clearTimeout(held.grace)
    this.#held.delete(key)
    this.#reconcile()
  }

  #lose(): void {
    this.#assigned = []
    this.#claimed = []
    this.#generation = -1
    this.#revokeAll((partition) => sessionLost(this.#group, partition))
  }

  #revokeAll(reason: (partition: TopicPartition) => MillraceError): void {
    const lost = [...this.#held.values()]
    this.#held.clear()
    for (const { lane, grace, partition } of lost) {
      clearTimeout(grace)
      lane?.revoke(reason(partition))
    }
    this.#reconcile()
  }

  #fail(error: MillraceError): void {
    this.#failure = error
    this.#changed.ring()
  }

  /** Nothing new is taken. What nobody was given is free; the other lanes go on until they are released. */
  async #stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    for (const [key, { lane }] of this.#held) if (!lane) this.#held.delete(key)
    await Promise.all(this.#fresh.splice(0).map((lane) => lane.release()))
    this.#reconcile()
    if (!this.#running) await this.#leave()
  }

  #leave(): Promise<void> {
    this.#left ??= this.#leaveGroup()
    return this.#left
  }

  async #leaveGroup(): Promise<void> {
    const running = this.#running
    const { membership, fetcher, fetches, rounds } = running ?? {}
    // The others take over when the session has run out, if the brokers cannot be told in time.
    await Promise.race([membership?.leave(), pause(leaveMs, this.#end.signal)])
    this.#end.abort()
    if (fetches) await closeCluster(fetches)
    if (rounds) await closeCluster(rounds)
    await membership?.ended()
    await fetcher?.ended()
    this.#onLeft()
  }
}

function stateOf(lane: Lane | undefined): HeldState {
  if (!lane) return 'opening'
  return lane.leaving.aborted ? 'leaving' : 'open'
}
