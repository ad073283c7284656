import { randomUUID } from 'node:crypto'
import { MillraceError, Retryable } from '../../src/core/errors.ts'
import type { TopicPartition } from '../../src/core/event.ts'
import type { LaneSource, SourceOptions, Start } from '../../src/core/event-log.ts'
import { assign } from '../../src/core/partition-assignment.ts'
import { isTopicPattern, matchesTopic } from '../../src/core/topic-pattern.ts'
import type { MemberRecord, Place } from './group-store.ts'
import { Lane } from './lane.ts'
import type { LocalMember, LogParts } from './log-parts.ts'
import { thisProcess } from './process.ts'

/** What one look at the group says this member has to do. */
interface Decision {
  readonly claims: readonly { readonly partition: TopicPartition; readonly place: Place | undefined }[]
  readonly releases: readonly TopicPartition[]
  readonly lost: readonly Lane[]
}

/**
 * One member of a consumer group. It holds a lease that it renews, and partitions that it claims and releases in
 * transactions, by a plan that every member computes alike. A partition's epoch goes up with each claim.
 */
export class GroupMember implements LocalMember {
  readonly id = randomUUID()
  readonly #parts: LogParts
  readonly #group: string
  readonly #topics: readonly string[]
  readonly #start: Start
  readonly #joined = Date.now()
  readonly #lanes = new Map<string, Lane>()
  #renewedAt = Number.NEGATIVE_INFINITY
  #renewedClock = Number.NEGATIVE_INFINITY
  #poke = () => {}
  #left: Promise<void> | undefined

  constructor(parts: LogParts, { group, topics, start = 'earliest' }: SourceOptions) {
    this.#parts = parts
    this.#group = group
    this.#topics = topics
    this.#start = start
  }

  get group(): string {
    return this.#group
  }

  poke(): void {
    this.#poke()
  }

  /** Whether the lease was renewed within its time, by a clock that stands still in sleep and by one that does not. */
  get leased(): boolean {
    const { leaseMs } = this.#parts
    return performance.now() - this.#renewedAt < leaseMs && Date.now() - this.#renewedClock < leaseMs
  }

  async *lanes(signal: AbortSignal): AsyncGenerator<LaneSource> {
    const { members } = this.#parts
    members.add(this)
    try {
      while (!signal.aborted && !this.#parts.closed.aborted) {
        for (const lane of await this.#turn()) yield lane
        await this.#pause(signal)
      }
    } finally {
      await this.leave()
    }
  }

  #pause(signal: AbortSignal): Promise<void> {
    const { leaseMs, closed } = this.#parts
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', end)
        closed.removeEventListener('abort', end)
        this.#poke = () => {}
        resolve()
      }
      const timer = setTimeout(end, Math.min(500, leaseMs / 6))
      this.#poke = end
      signal.addEventListener('abort', end)
      closed.addEventListener('abort', end)
      if (signal.aborted || closed.aborted) end()
    })
  }

  /** Renews the lease when it is due, and takes or gives what the plan says. Answers the new lanes. */
  async #turn(): Promise<Lane[]> {
    const { store, leaseMs } = this.#parts
    if (!this.leased) for (const lane of [...this.#lanes.values()]) this.#drop(lane)
    const due = performance.now() - this.#renewedAt >= leaseMs / 3
    if (!due) {
      store.refresh()
      const { claims, releases, lost } = this.#decide()
      if (claims.length + releases.length + lost.length === 0) return []
    }
    try {
      return await this.#apply()
    } catch (error) {
      // The disk may have room again at the next turn; until then the lease runs out, which is safe.
      if (error instanceof Retryable) return []
      throw error
    }
  }

  async #apply(): Promise<Lane[]> {
    const { store, groups } = this.#parts
    // The lease counts from before it was written, so that this member never believes in it for longer than others.
    const at = performance.now()
    const clock = Date.now()
    const joins = this.#renewedAt === Number.NEGATIVE_INFINITY
    let released = 0
    const lanes = await store.writeEssential(() => {
      groups.setMember(this.#group, this.#record(clock))
      groups.removeDead(this.#group, this.#liveMembers(clock))
      const { claims, releases, lost } = this.#decide()
      for (const lane of lost) this.#drop(lane)
      for (const partition of releases) this.#release(partition)
      released = releases.length
      return claims.map(({ partition, place }) => this.#claim(partition, place))
    })
    this.#renewedAt = at
    this.#renewedClock = clock
    for (const lane of lanes) this.#lanes.set(laneKey(lane.partition), lane)
    if (joins || released > 0) this.#wakeOthers()
    return lanes
  }

  #record(now: number): MemberRecord {
    return {
      id: this.id,
      topics: this.#topics,
      joined: this.#joined,
      process: thisProcess(),
      expires: now + this.#parts.leaseMs,
    }
  }

  #liveMembers(now: number): MemberRecord[] {
    return this.#parts.groups.liveMembers(this.#group, now, this.#parts.leaseMs)
  }

  #decide(): Decision {
    const { groups, topics } = this.#parts
    const members = this.#liveMembers(Date.now())
    const live = new Set(members.map((member) => member.id))
    const asked = [...new Set(members.flatMap((member) => member.topics))]
    const names = asked.some(isTopicPattern)
      ? topics.all().flatMap(({ name }) => (matchesTopic(asked, name) ? [name] : []))
      : asked.sort()
    const places = names.flatMap((topic) => {
      const count = topics.find(topic)?.config.partitions ?? 0
      return Array.from({ length: count }, (_, partition) => {
        const place = groups.place(this.#group, { topic, partition })
        const owner = place?.owner && live.has(place.owner) ? place.owner : undefined
        return { topic, partition, place, owner }
      })
    })
    const planned = new Set(
      assign(members, places)
        .filter(({ member }) => member === this.id)
        .map(laneKey),
    )
    const byKey = new Map(places.map((each) => [laneKey(each), each]))
    const held = [...this.#lanes.values()]
    const lost = held.filter((lane) => {
      const place = byKey.get(laneKey(lane.partition))?.place
      return lane.revoked.aborted || place?.owner !== this.id || place.epoch !== lane.epoch
    })
    // Also what it no longer has in hand, because a release did not come through.
    const releases = places.filter((each) => each.owner === this.id && !planned.has(laneKey(each)))
    const claims = places
      .filter((each) => planned.has(laneKey(each)))
      .filter((each) => each.owner === undefined || (each.owner === this.id && !this.#lanes.has(laneKey(each))))
      .map(({ topic, partition, place }) => ({ partition: { topic, partition }, place }))
    return { claims, releases, lost }
  }

  /** Inside a transaction. */
  #claim(partition: TopicPartition, place: Place | undefined): Lane {
    const { groups, topics, partitions } = this.#parts
    const key = { topicId: topics.get(partition.topic).id, partition: partition.partition }
    const head = partitions.head(key)
    const first = place?.from ?? (this.#start === 'latest' ? head.next : head.start)
    const ends = place?.ends ?? []
    // What has expired is not to come any more. A block in flight keeps its start, which is part of its id.
    const committed = { from: ends.length === 0 ? Math.max(first, head.start) : first, ends }
    const epoch = (place?.epoch ?? 0) + 1
    groups.setPlace(this.#group, partition, { ...committed, owner: this.id, epoch })
    return new Lane(this.#parts, this, { partition, key, committed, epoch })
  }

  /** Inside a transaction. */
  #release(partition: TopicPartition): void {
    const { groups } = this.#parts
    const lane = this.#lanes.get(laneKey(partition))
    if (lane) this.#drop(lane)
    const place = groups.place(this.#group, partition)
    if (place) groups.setPlace(this.#group, partition, { ...place, owner: null, epoch: place.epoch + 1 })
  }

  #drop(lane: Lane): void {
    this.#lanes.delete(laneKey(lane.partition))
    lane.revoke()
  }

  /**
   * Others may claim the partitions at once. Until one of them does, the lanes can still commit for the time of a lease,
   * so a pipeline that is stopped finishes what it has in hand.
   */
  leave(): Promise<void> {
    this.#left ??= this.#leave()
    return this.#left
  }

  async #leave(): Promise<void> {
    const { store, groups, members } = this.#parts
    members.delete(this)
    try {
      await store.writeEssential(() => groups.removeMember(this.#group, this.id))
      this.#renewedAt = performance.now()
      this.#renewedClock = Date.now()
    } catch (error) {
      // The lease runs out by itself.
      if (!(error instanceof MillraceError)) throw error
    }
    this.#wakeOthers()
  }

  #wakeOthers(): void {
    for (const member of this.#parts.members) if (member !== this && member.group === this.#group) member.poke()
  }
}

function laneKey({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}
