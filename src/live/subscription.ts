import type { StoredLiveEvent } from '../core/live-log.ts'
import type { Channel, Group, Member } from './channel.ts'
import { ChannelEvent, type Matched } from './channel-event.ts'
import { DeltaBases, SharedBudget } from './delta-bases.ts'
import { type ConflateKey, tooCostly, tooCostlyCode } from './filters.ts'
import type { Flow } from './flow.ts'
import type { Gate } from './gate.ts'
import { frameBytes, type GroupBatch } from './group-batch.ts'
import { isRepeatable, type Matcher, matchAlone } from './matcher.ts'
import { Outbox } from './outbox.ts'
import type { EndedMessage, GapReason, ServerMessage } from './protocol.ts'
import { RateLimit } from './rate-limit.ts'

const pageEvents = 500
const pageBytes = 1024 * 1024
const frameEvents = 1_000
/** A page is bounded by itself. */
const pageBudget = new SharedBudget(Number.POSITIVE_INFINITY)

/** What a subscription needs of its session. */
export interface Connection {
  /** Whether a frame can be sent at once: the network takes them and nothing older of this subscription waits. */
  readonly ready: boolean
  /** Through which its subscriptions read the log: a few at a time, since what they read waits until it is sent. */
  readonly reading: Gate
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
  /** What is live and waits. */
  readonly outbox = new Outbox()
  /**
   * What it has read from the log by itself, which is sent before. It comes no faster than the client takes it: nothing of it
   * is left out for a client that is slow, or for a rate.
   */
  readonly #page = new Outbox()
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
    return this.#nothingWaits ? this.#cursor - 1 : undefined
  }

  get wants(): boolean {
    return !this.#nothingWaits || this.#state === 'catching up'
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
    if (!this.#page.empty) {
      this.#sendFrom(this.#page, frameEvents)
      return true
    }
    if (this.#state === 'catching up') {
      void this.#readOn()
      return false
    }
    const limit = this.#allowance()
    if (limit < 1 || this.#isClosed) return false
    const sent = this.#sendFrom(this.outbox, limit)
    this.#rate?.take(sent)
    return this.outbox.length > 0
  }

  get readyIn(): number | undefined {
    if (this.#rate === undefined || this.#state !== 'live' || this.outbox.empty) return undefined
    return this.#rate.readyIn
  }

  conflate(): void {
    if (this.#conflate || this.outbox.replaces) this.#conflateIn(this.outbox)
  }

  #conflateIn(outbox: Outbox): void {
    this.#skipped('conflated', outbox.conflate(this.#keyOf))
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
      this.#nothingWaits &&
      this.#connection.ready
    if (!atOnce) this.outbox.pushBatch(batch)
    else if (batch.matched.length > 0) this.#sendBatch(batch)
  }

  /** The gaps there are and a frame. Answers how many events that was. */
  #sendFrom(outbox: Outbox, limit: number): number {
    for (const gap of outbox.takeGaps()) {
      this.#connection.sendMessage({ type: 'gap', subscription: this.id, ...gap }, this)
    }
    const batch = outbox.takeBatch(limit, frameBytes)
    if (batch) {
      this.#sendBatch(batch)
      return batch.matched.length
    }
    const events = outbox.take(limit, frameBytes)
    if (events.length > 0) {
      this.#connection.sendEvents(this.#connection.frame(this, events, this.#completeFrom), this, events.length)
    }
    return events.length
  }

  #sendBatch(batch: GroupBatch): void {
    const frame = this.#connection.sharedFrame(this, batch, this.#completeFrom)
    this.#connection.sendEvents(frame, this, batch.matched.length)
  }

  get #nothingWaits(): boolean {
    return this.#page.empty && this.outbox.empty
  }

  /** For a client that takes deltas: it has every event since this offset, once what is sent next has come. */
  get #completeFrom(): number | undefined {
    if (this.#deltaFrom === undefined) return undefined
    return Math.max(this.#deltaFrom, this.#page.lostTo + 1, this.outbox.lostTo + 1)
  }

  #allowance(): number {
    const allowance = Math.min(frameEvents, this.#rate?.allowance ?? frameEvents)
    // It looks at all that waits, so it is done when something may go, and not for each event that comes.
    if (this.#conflate && allowance >= 1) this.conflate()
    if (this.#rate && !this.#conflate) this.#skipped('sampled', this.outbox.keepNewest(this.#rate.burst))
    return allowance
  }

  async #readOn(): Promise<void> {
    if (this.#reading) return
    this.#reading = true
    await this.#connection.reading.pass(() => this.#readPage())
    this.#reading = false
    this.#connection.wake()
  }

  async #readPage(): Promise<void> {
    // What others have read while it waited for its turn is to be sent first.
    if (!this.#connection.ready || this.#state !== 'catching up') return
    try {
      const { log, name } = this.channel
      const page = await log.read(name, this.#cursor, pageEvents, pageBytes)
      const head = await log.head(name)
      if (this.#isClosed) return
      // Asked after the page: in another epoch these offsets are other events.
      if (head.epoch !== this.channel.epoch) {
        this.restart()
        return
      }
      const first = page[0]?.offset ?? head.first
      if (first > this.#cursor) this.#page.addGap('expired', this.#cursor, first - 1, undefined)
      this.#take(page)
      this.#cursor = Math.max(first, (page.at(-1)?.offset ?? first - 1) + 1)
      if (this.#cursor >= this.channel.next) this.#goLive()
    } catch (error) {
      // Of one that was closed meanwhile nobody wants to know.
      if (!this.#isClosed) this.#connection.fail(error)
    }
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
    this.#page.push(matched)
    if (this.#conflate) this.#conflateIn(this.#page)
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
