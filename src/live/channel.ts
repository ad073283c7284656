import { setTimeout as sleep } from 'node:timers/promises'
import { errorMessage } from '../core/errors.ts'
import type { ChannelHead, LiveLog, StoredLiveEvent } from '../core/live-log.ts'
import { ChannelEvent, type Matched } from './channel-event.ts'
import type { Encoding } from './encoding.ts'
import type { Logger } from './logger.ts'
import { type Match, type Matcher, match } from './matcher.ts'
import { type Comparison, StandingQueries } from './standing-queries.ts'

/** What a batch of events is for one group of identical subscriptions. Shared by all of them. */
export interface GroupBatch extends Match {
  /** First offset of the batch, and the one after its last. */
  readonly from: number
  readonly next: number
  /** Offsets before `from` that the channel never saw, for they were dropped from the log before it came to them. */
  readonly lost: { readonly from: number; readonly to: number } | undefined
  /** Nothing matched, nothing was lost, and all could be compared: there is nothing to tell anyone. */
  readonly nothing: boolean
  /** The events as one frame: encoded once for all subscriptions of the same id and encoding. */
  frame(encoding: Encoding, subscription: string): Uint8Array
}

/** A subscription, as its channel sees it. */
export interface Member {
  receive(batch: GroupBatch): void
  /** The channel's offsets start anew. */
  restart(): void
}

/** Subscriptions that ask for the same. */
export class Group {
  readonly key: string
  readonly matcher: Matcher
  readonly members = new Set<Member>()
  users = 1

  constructor(key: string, matcher: Matcher) {
    this.key = key
    this.matcher = matcher
  }
}

const retryMs = 500

/** Reads one channel of the live log, once for however many subscribers there are. */
export class Channel {
  readonly name: string
  readonly epoch: string
  readonly log: LiveLog
  readonly queries = new StandingQueries()
  readonly #groups = new Map<string, Group>()
  readonly #logger: Logger
  #next: number

  constructor(name: string, head: ChannelHead, log: LiveLog, logger: Logger) {
    this.name = name
    this.epoch = head.epoch
    this.log = log
    this.#next = head.next
    this.#logger = logger
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
      this.#handOut(events, comparison)
      rest = rest.slice(count)
    }
  }

  /** In one go: whoever joins or leaves meanwhile does so before or after it. */
  #handOut(events: readonly ChannelEvent[], comparison: Comparison): void {
    const from = events[0]?.event.offset ?? this.#next
    const next = (events.at(-1)?.event.offset ?? from - 1) + 1
    const lost = from > this.#next ? { from: this.#next, to: from - 1 } : undefined
    this.#next = next
    const batchOf = (found: Match): GroupBatch => ({
      from,
      next,
      lost,
      nothing: found.matched.length === 0 && found.comparable && lost === undefined,
      ...found,
      frame: frameCache(this.epoch, found.matched),
    })
    const nothing = batchOf({ matched: [], comparable: true })
    for (const { matcher, members } of this.#groups.values()) {
      const { similar } = matcher
      const scores = similar && comparison.scores(similar.query, similar.minScore)
      const shared = similar && !scores ? nothing : batchOf(match(matcher, events, scores))
      for (const member of members) member.receive(shared)
    }
  }

  #restart(restarted: () => void): void {
    restarted()
    for (const group of this.#groups.values()) for (const member of group.members) member.restart()
  }
}

function frameCache(epoch: string, matched: readonly Matched[]): GroupBatch['frame'] {
  const frames = new Map<string, Uint8Array>()
  return (encoding, subscription) => {
    const key = `${encoding.name} ${subscription}`
    const frame = frames.get(key) ?? encoding.events(subscription, epoch, matched)
    frames.set(key, frame)
    return frame
  }
}
