import { setTimeout as sleep } from 'node:timers/promises'
import { errorMessage } from '../core/errors.ts'
import type { ChannelHead, LiveLog, StoredLiveEvent } from '../core/live-log.ts'
import { ChannelEvent } from './channel-event.ts'
import { DeltaBases } from './delta-bases.ts'
import { type GroupBatch, groupBatches, type Span } from './group-batch.ts'
import type { Logger } from './logger.ts'
import { EventBatch, type Match, type Matcher, match } from './matcher.ts'
import { Slices } from './slices.ts'
import { type Comparison, StandingQueries } from './standing-queries.ts'
import { RowMemories } from './visibility.ts'

/** A subscription, as its channel sees it. */
export interface Member {
  receive(batch: GroupBatch): void
  /** Its expression has taken too long: it is over. */
  tooCostly(text: string): void
  /** What it should be handed could not be made. */
  failed(error: unknown): void
  /** The channel's offsets start anew. */
  restart(): void
}

/** Subscriptions that ask for the same. */
export class Group {
  readonly key: string
  readonly matcher: Matcher
  readonly members = new Set<Member>()
  users = 1
  /** How many of its members take deltas. */
  deltaMembers = 0
  #bases: DeltaBases | undefined

  constructor(key: string, matcher: Matcher) {
    this.key = key
    this.matcher = matcher
  }

  /** Gives what its members are sent next the bases of its deltas, if any of them takes some. */
  advance(batches: readonly GroupBatch[]): void {
    // Deltas apply to the event before: once one may have been missed they begin anew.
    if (this.deltaMembers === 0 || batches[0]?.lost) this.forgetBases()
    if (this.deltaMembers === 0) return
    this.#bases ??= new DeltaBases()
    for (const { matched } of batches) this.#bases.advance(matched)
  }

  forgetBases(): void {
    this.#bases?.release()
    this.#bases = undefined
  }
}

const retryMs = 500
const nothing: Match = { matched: [], comparable: true }

/** Reads one channel of the live log, once for however many subscribers there are. */
export class Channel {
  readonly name: string
  readonly epoch: string
  readonly log: LiveLog
  readonly queries = new StandingQueries()
  readonly rows = new RowMemories()
  readonly #groups = new Map<string, Group>()
  readonly #logger: Logger
  #next: number
  #isOver = false

  constructor(name: string, head: ChannelHead, log: LiveLog, logger: Logger) {
    this.name = name
    this.epoch = head.epoch
    this.log = log
    this.#next = head.next
    this.#logger = logger
  }

  /** Its offsets have started anew: nothing is handed out any more. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** The first offset that subscribers have not been handed yet. */
  get next(): number {
    return this.#next
  }

  /** The group of this key, made if there is none. Every call needs one `leave`. */
  join(key: string, makeMatcher: () => Matcher): Group {
    const known = this.#groups.get(key)
    if (known) {
      known.users++
      return known
    }
    const group = new Group(key, makeMatcher())
    this.#groups.set(key, group)
    return group
  }

  leave(group: Group): void {
    if (--group.users > 0) return
    this.#groups.delete(group.key)
    group.forgetBases()
    group.matcher.similar?.query.release()
  }

  /** Follows the log until the signal fires. `restarted` is called, once, if the channel's epoch has changed. */
  async run(signal: AbortSignal, restarted: () => void): Promise<void> {
    for (let again = false; !signal.aborted; again = true) {
      try {
        // However it has ended: the offset to go on from means something in its own epoch only.
        if (again && (await this.log.head(this.name)).epoch !== this.epoch) return this.#restart(restarted)
        for await (const batch of this.log.follow(this.name, this.#next, signal)) {
          await this.#broadcast(batch, signal)
        }
      } catch (error) {
        if (signal.aborted) return
        this.#logger.warn('A live channel could not be read and is read again.', {
          channel: this.name,
          error: errorMessage(error),
        })
      }
      await sleep(retryMs, undefined, { signal, ref: false }).catch(() => undefined)
    }
  }

  /** In parts, if very many queries stand. What is compared when the signal fires is handed to nobody. */
  async #broadcast(batch: readonly StoredLiveEvent[], signal: AbortSignal): Promise<void> {
    for (let rest = batch; rest.length > 0; ) {
      const count = this.queries.vectorsAtATime
      const events = rest.slice(0, count).map((event) => new ChannelEvent(this.name, event))
      const comparison = await this.queries.compare(events.map(({ vector }) => vector))
      if (signal.aborted) return
      await this.#handOut(new EventBatch(events), comparison, signal)
      rest = rest.slice(count)
    }
  }

  /**
   * In slices, if there are very many members: what is appended meanwhile comes together in the next batch. Who joins
   * or leaves in between does no harm: `next` is beyond the batch from the start, so whoever begins before it reads it
   * from the log, and whoever has it already ignores it.
   */
  async #handOut(batch: EventBatch, comparison: Comparison, signal: AbortSignal): Promise<void> {
    const { events } = batch
    this.rows.note(events)
    const from = events[0]?.event.offset ?? this.#next
    const next = (events.at(-1)?.event.offset ?? from - 1) + 1
    const lost = from > this.#next ? { from: this.#next, to: from - 1 } : undefined
    this.#next = next
    const span = { epoch: this.epoch, from, next, lost }
    const slices = new Slices()
    for (const group of this.#groups.values()) {
      const deliver = this.#delivery(group, batch, comparison, span)
      for (const member of group.members) {
        deliver(member)
        if (!slices.over) continue
        await slices.pause()
        if (signal.aborted) return
      }
    }
  }

  /** What is done for each member of a group. Whom it fails for is told, and the others are not concerned. */
  #delivery(group: Group, batch: EventBatch, comparison: Comparison, span: Span): (member: Member) => void {
    try {
      const batches = this.#batches(group, batch, comparison, span)
      const { filter } = group.matcher
      if (filter?.tooCostly) return (member) => member.tooCostly(filter.text)
      return (member) => {
        try {
          for (const part of batches) member.receive(part)
        } catch (error) {
          member.failed(error)
        }
      }
    } catch (error) {
      group.forgetBases()
      return (member) => member.failed(error)
    }
  }

  #batches(group: Group, batch: EventBatch, comparison: Comparison, span: Span): readonly GroupBatch[] {
    const { matcher } = group
    if (group.members.size === 0) {
      group.forgetBases()
      return []
    }
    const { similar } = matcher
    const scores = similar && comparison.scores(similar.query, similar.minScore)
    const found = similar && !scores ? nothing : match(matcher, batch, scores)
    const batches = groupBatches(span, found)
    group.advance(batches)
    return batches
  }

  #restart(restarted: () => void): void {
    this.#isOver = true
    restarted()
    for (const group of this.#groups.values()) for (const member of group.members) member.restart()
  }
}
