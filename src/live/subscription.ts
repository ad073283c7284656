import type { StoredLiveEvent } from '../core/live-log.ts'
import type { Channel, Group, Member } from './channel.ts'
import { ChannelEvent, type Matched } from './channel-event.ts'
import { DeltaBases, SharedBudget } from './delta-bases.ts'
import { type ConflateKey, tooCostly, tooCostlyCode } from './filters.ts'
import type { Flow } from './flow.ts'
import { frameBytes, type GroupBatch } from './group-batch.ts'
import { isRepeatable, type Matcher, matchAlone } from './matcher.ts'
import { Outbox } from './outbox.ts'
import type { EndedMessage, GapReason, ServerMessage } from './protocol.ts'
import { RateLimit } from './rate-limit.ts'

const pageEvents = 500
const frameEvents = 1_000
/** A page is bounded by itself. */
const pageBudget = new SharedBudget(Number.POSITIVE_INFINITY)

/** What a subscription needs of its session. */
export interface Connection {
  /** Whether a frame can be sent at once: the network takes them and nothing older of this subscription waits. */
  readonly ready: boolean
  sendEvents(frame: Uint8Array, subscription: Subscription, events: number): void
  /** `deltaFrom`: the client has every event of the group from this offset on, and takes deltas. */
  frame(subscription: Subscription, events: readonly Matched[], deltaFrom: number | undefined): Uint8Array
  sharedFrame(subscription: Subscription, batch: GroupBatch, deltaFrom: number | undefined): Uint8Array
  sendMessage(message: ServerMessage, subscription: Subscription): void
  /** Something waits in the outbox, or the next page of the log is to be read. */
  wake(): void
  skipped(subscription: Subscription, reason: GapReason, events: number): void
  /** The subscription cannot go on: it is to be closed, and the client told. */
  ended(subscription: Subscription, ending: Ending): void
  fail(error: unknown): void
  restart(): void
}

/** Why a subscription ends without the client having asked for it. */
export type Ending = Pick<EndedMessage, 'code' | 'message' | 'retry'>

export interface SubscriptionSettings {
  readonly id: string
  readonly channel: Channel
  readonly group: Group
  /** What it asks for, of the events that it reads from the log by itself. */
  readonly catchUp: Matcher
  /** The first offset that it shall be sent. */
  readonly from: number
  /** If the client takes deltas: it has every matching event from this offset on, and keeps them as the protocol says. */
  readonly deltaFrom?: number | undefined
  readonly conflate: ConflateKey | undefined
  readonly maxRate: number | undefined
}

/**
 * One subscriber's way through a channel. It reads the log page by page until it has caught up with the channel
 * (as fast as the client takes it), and from then on is handed what the channel reads.
 *
 *   catching up --[cursor reaches the channel's next]--> live --[close]--> closed
 */
export class Subscription implements Member, Flow {
  readonly id: string
  readonly channel: Channel
  readonly outbox = new Outbox()
  readonly #group: Group
  readonly #catchUp: Matcher
  readonly #connection: Connection
  readonly #conflate: ConflateKey | undefined
  readonly #rate: RateLimit | undefined
  /** The next offset to be looked at. All below it was sent, waits in the outbox, was told as a gap or does not match. */
  #cursor: number
  /** Of what was sent nothing was left out since this offset, but for what the outbox knows. */
  #deltaFrom: number | undefined
  #state: 'waiting' | 'catching up' | 'live' | 'closed' = 'waiting'
  #reading = false
  #toldIncomparable = false

  constructor(settings: SubscriptionSettings, connection: Connection) {
    const { id, channel, group, catchUp, from, deltaFrom, conflate, maxRate } = settings
    this.id = id
    this.channel = channel
    this.#group = group
    this.#catchUp = catchUp
    this.#connection = connection
    this.#cursor = from
    if (deltaFrom !== undefined) this.#deltaFrom = isRepeatable(group.matcher) ? Math.min(deltaFrom, from) : from
    this.#conflate = conflate
    this.#rate = maxRate === undefined ? undefined : new RateLimit(maxRate)
  }

  get epoch(): string {
    return this.channel.epoch
  }

  get queued(): Flow['queued'] {
    return { events: this.outbox.length, bytes: this.outbox.bytes }
  }

  get settled(): number | undefined {
    return this.outbox.empty ? this.#cursor - 1 : undefined
  }

  get wants(): boolean {
    return !this.outbox.empty || this.#state === 'catching up'
  }

  /** Events flow from here on. The session calls it when the client knows the subscription's id. */
  start(): void {
    if (this.#state !== 'waiting') return
    if (this.channel.isOver) {
      this.restart()
      return
    }
    this.#state = this.#cursor >= this.channel.next ? 'live' : 'catching up'
    this.#group.members.add(this)
    if (this.#deltaFrom !== undefined) this.#group.deltaMembers++
    if (this.#state === 'catching up') this.#connection.wake()
  }

  close(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    if (this.#group.members.delete(this) && this.#deltaFrom !== undefined) this.#group.deltaMembers--
    this.channel.leave(this.#group)
  }

  receive(batch: GroupBatch): void {
    if (this.#state !== 'live' || batch.next <= this.#cursor) return
    if (batch.nothing) {
      this.#cursor = batch.next
      return
    }
    if (batch.lost && batch.lost.to >= this.#cursor) {
      this.outbox.addGap('expired', Math.max(batch.lost.from, this.#cursor), batch.lost.to, undefined)
    }
    if (!batch.comparable) this.#tellIncomparable()
    if (batch.from >= this.#cursor) this.#deliver(batch)
    else this.outbox.push(batch.matched.filter(({ offset }) => offset >= this.#cursor))
    this.#cursor = batch.next
    if (!this.outbox.empty) this.#connection.wake()
  }

  failed(error: unknown): void {
    if (this.#state !== 'closed') this.#connection.fail(error)
  }

  tooCostly(text: string): void {
    if (this.#state === 'closed') return
    this.#connection.ended(this, { code: tooCostlyCode, message: tooCostly(text), retry: false })
  }

  restart(): void {
    this.#connection.restart()
  }

  sendSome(): boolean {
    if (this.#state === 'closed' || this.#state === 'waiting') return false
    const limit = this.#allowance()
    if (limit < 1 || this.#isClosed) return false
    for (const gap of this.outbox.takeGaps()) {
      this.#connection.sendMessage({ type: 'gap', subscription: this.id, ...gap }, this)
    }
    const batch = this.outbox.takeBatch(limit, frameBytes)
    if (batch) this.#sendBatch(batch)
    else {
      const events = this.outbox.take(limit, frameBytes)
      if (events.length > 0) this.#send(this.#connection.frame(this, events, this.#completeFrom), events.length)
    }
    if (this.outbox.length > 0) return true
    if (this.#state === 'catching up') void this.#readPage()
    return false
  }

  get readyIn(): number | undefined {
    if (this.#rate === undefined || this.#state !== 'live' || this.outbox.empty) return undefined
    return this.#rate.readyIn
  }

  conflate(): void {
    if (!this.#conflate && !this.outbox.replaces) return
    this.#skipped('conflated', this.outbox.conflate(this.#keyOf))
    if (this.#conflate?.tooCostly) this.tooCostly(this.#conflate.text)
  }

  sample(): number {
    const dropped = this.outbox.sample()
    this.#skipped('sampled', dropped)
    return dropped
  }

  #deliver(batch: GroupBatch): void {
    const atOnce =
      this.#rate === undefined &&
      (this.#conflate === undefined || batch.matched.length <= 1) &&
      this.outbox.empty &&
      this.#connection.ready
    if (!atOnce) this.outbox.pushBatch(batch)
    else if (batch.matched.length > 0) this.#sendBatch(batch)
  }

  #sendBatch(batch: GroupBatch): void {
    this.#send(this.#connection.sharedFrame(this, batch, this.#completeFrom), batch.matched.length)
  }

  #send(frame: Uint8Array, events: number): void {
    if (this.#state === 'live') this.#rate?.take(events)
    this.#connection.sendEvents(frame, this, events)
  }

  /** For a client that takes deltas: it has every event since this offset, once what is sent next has come. */
  get #completeFrom(): number | undefined {
    return this.#deltaFrom === undefined ? undefined : Math.max(this.#deltaFrom, this.outbox.lostTo + 1)
  }

  /** History goes as fast as the client takes it; a rate counts for what is live. */
  #allowance(): number {
    if (this.#conflate) this.conflate()
    if (this.#rate === undefined || this.#state !== 'live') return frameEvents
    if (this.#conflate === undefined) this.#skipped('sampled', this.outbox.keepNewest(this.#rate.burst))
    return Math.min(frameEvents, this.#rate.allowance)
  }

  async #readPage(): Promise<void> {
    if (this.#reading) return
    this.#reading = true
    try {
      const { log, name } = this.channel
      const page = await log.read(name, this.#cursor, pageEvents)
      const head = await log.head(name)
      if (this.#state !== 'catching up') return
      // Asked after the page: in another epoch these offsets are other events.
      if (head.epoch !== this.channel.epoch) {
        this.restart()
        return
      }
      const first = page[0]?.offset ?? head.first
      if (first > this.#cursor) this.outbox.addGap('expired', this.#cursor, first - 1, undefined)
      this.#take(page)
      this.#cursor = Math.max(first, (page.at(-1)?.offset ?? first - 1) + 1)
      if (this.#cursor >= this.channel.next) this.#goLive()
    } catch (error) {
      // Of one that was closed meanwhile nobody wants to know.
      if (!this.#isClosed) this.#connection.fail(error)
    } finally {
      this.#reading = false
    }
    this.#connection.wake()
  }

  #take(page: readonly StoredLiveEvent[]): void {
    const events = page.map((event) => new ChannelEvent(this.channel.name, event))
    const { matched, comparable } = matchAlone(this.#catchUp, events, this.channel.queries)
    const { filter } = this.#group.matcher
    if (filter?.tooCostly) {
      this.tooCostly(filter.text)
      return
    }
    if (!comparable) this.#tellIncomparable()
    if (this.#deltaFrom !== undefined) {
      // Within the page, since nobody keeps the values that its client had before.
      new DeltaBases(pageBudget).advance(matched)
    }
    this.outbox.push(matched)
  }

  #goLive(): void {
    if (this.#state !== 'catching up') return
    this.#state = 'live'
    // The group may have been sent other events than those found here.
    if (this.#deltaFrom !== undefined && !isRepeatable(this.#group.matcher)) this.#deltaFrom = this.#cursor
  }

  get #isClosed(): boolean {
    return this.#state === 'closed'
  }

  readonly #keyOf = ({ source }: Matched): string | null => {
    if (!this.#conflate || source.retracts) return source.event.key
    return source.conflateKey(this.#conflate)
  }

  #skipped(reason: GapReason, events: number): void {
    if (events > 0) this.#connection.skipped(this, reason, events)
  }

  #tellIncomparable(): void {
    if (this.#toldIncomparable) return
    this.#toldIncomparable = true
    const message =
      'Events of this channel have no vector that "similar" could be compared with, so these do not match. Give the pipeline an embed step before its live sink, with the same model.'
    this.#connection.sendMessage(
      { id: null, type: 'error', code: 'no_vector', message, retry: false, subscription: this.id },
      this,
    )
  }
}
