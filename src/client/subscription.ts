import type {
  ChannelPosition,
  DeltaFrame,
  EventFrame,
  GapReason,
  JsonValue,
  PresenceMember,
  PresenceMessage,
  SubscribedMessage,
  SubscribeOptions as SubscribeFields,
} from '../live/protocol.ts'
import { LastValues } from './deltas.ts'
import { MillraceClientError } from './errors.ts'
import { type PositionStorage, SavedPosition } from './saved-position.ts'
import { type Feed, LiveStream, type StreamMessage, type StreamRequest } from './stream.ts'

export interface SubscribeOptions extends Omit<SubscribeFields, 'delta'> {
  /** Of events with a key only what has changed is sent, where that is less. The subscription gives whole values. */
  readonly delta?: boolean | undefined
  /**
   * The position is kept under this name, and the next page's subscription of that name (to the same channel with the
   * same `filter` and `similar`) goes on from it. `since` is for the first time then.
   */
  readonly resume?: string | undefined
  /** Where the position is kept; the tab's `sessionStorage` when left out. */
  readonly storage?: PositionStorage | undefined
}

/** An event of a channel. A later one with the same `id` is a newer version of it; `value: null` retracts it. */
export interface LiveEvent<Value = JsonValue> extends Omit<EventFrame, 'value'> {
  readonly value: Value | null
}

/** Events that were not received. `unrecovered`: the server no longer has them; load a snapshot. */
export interface Gap {
  readonly reason: GapReason | 'unrecovered'
  readonly from: number
  readonly to: number
  readonly count?: number | undefined
}

export interface SubscriptionEvents<Value = JsonValue> {
  event: LiveEvent<Value>
  gap: Gap
  /** Events flow, at first and after each reconnection. */
  subscribed: { readonly position: ChannelPosition; readonly recovered: boolean }
  /** Everyone who is on the channel, whenever that has changed; with the option `presence`. */
  presence: readonly PresenceMember[]
  /** Something is not as it was asked for, and the subscription goes on. */
  warning: MillraceClientError
  /** The subscription has ended. */
  error: MillraceClientError
}

/** How many events may wait for a consumer that iterates, before the server is asked to stop, and to go on. */
const mostWaiting = 2_000
const fewWaiting = 500

interface Waiting {
  /** What the position is once this was handed out. */
  readonly position: ChannelPosition
  readonly item: EventFrame | Gap
}

/**
 * The events of a channel, in order and each once, across reconnections. Take them with `for await` or with
 * `on('event', …)`; what could not be had is told by `on('gap', …)`, where it would have stood.
 */
export class Subscription<Value = JsonValue>
  extends LiveStream<SubscriptionEvents<Value>>
  implements AsyncIterable<LiveEvent<Value>>
{
  readonly channel: string
  readonly #options: SubscribeFields
  #lastValues: LastValues | undefined
  readonly #saved: SavedPosition | undefined
  readonly #members = new Map<string, PresenceMember>()
  #beganAnewAt: number | undefined
  #presence: SubscribeFields['presence']
  #presenceAsked: SubscribeFields['presence']
  #memberList: readonly PresenceMember[] | undefined
  /** Of what has come. */
  #received: ChannelPosition | undefined
  /** Of what was handed to the consumer. */
  #handed: ChannelPosition | undefined
  /** An iteration has an event, and has not asked for the next. */
  #inHand = false
  #waiting: Waiting[] = []
  #taken = 0
  #heldBack = false

  constructor(channel: string, { delta, resume, storage, ...options }: SubscribeOptions, feed: Feed) {
    super(feed)
    this.channel = channel
    this.#options = options
    this.#presence = options.presence
    if (delta === true) this.#lastValues = new LastValues()
    if (resume === undefined) return
    const { filter, similar } = options
    this.#saved = new SavedPosition(resume, JSON.stringify([channel, filter, similar]), storage)
    this.#received = this.#handed = this.#saved.read()
  }

  /** Of the last event that was handed out; a later subscription can go on from here with `since`. */
  get position(): ChannelPosition | undefined {
    return this.#waits > 0 ? this.#handed : this.#received
  }

  /** Everyone who is on the channel; undefined while that is not known. */
  get members(): readonly PresenceMember[] | undefined {
    return this.#memberList
  }

  /** Changes what others are shown of this session. Rejects if the server refuses it. */
  setState(state: JsonValue): Promise<void> {
    this.#presence = { ...this.#presence, state }
    return this.feed.present(this, state)
  }

  /** With an `event` listener nothing waits for an iteration. */
  override on<Type extends keyof SubscriptionEvents<Value>>(
    type: Type,
    listener: (event: SubscriptionEvents<Value>[Type]) => void,
  ): () => void {
    const off = super.on(type, listener)
    this.#drain()
    return off
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<LiveEvent<Value>, void, undefined> {
    try {
      do {
        for (let event = this.#next(); event; event = this.#next()) {
          this.#inHand = true
          yield event
          this.#inHand = false
          this.#save()
        }
      } while (await this.more())
    } finally {
      this.close()
    }
  }

  request(): StreamRequest {
    const since = this.#received ?? this.#options.since ?? 'latest'
    const delta = this.#lastValues?.request
    this.#presenceAsked = this.#presence
    return { ...this.#options, channel: this.channel, since, delta, presence: this.#presence }
  }

  accept({ epoch, offset, recovered }: SubscribedMessage): void {
    const { since } = this.#options
    const before = this.#received ?? (typeof since === 'object' && 'epoch' in since ? since : undefined)
    const position = { epoch, offset }
    this.#lastValues?.begin(offset, recovered)
    if (!recovered) {
      const from = before?.epoch === epoch ? before.offset + 1 : 0
      this.#waiting.push({ position, item: { reason: 'unrecovered', from, to: offset } })
    }
    this.#received = position
    this.#handed ??= position
    this.#drain()
    this.flows()
    this.emit('subscribed', { position, recovered })
    // It was changed while the server was asked.
    const state = this.#presence?.state
    if (this.#presence === this.#presenceAsked || state === undefined) return
    this.feed.present(this, state).catch((error: unknown) => {
      if (error instanceof MillraceClientError) this.warn(error)
    })
  }

  receive(message: StreamMessage): void {
    if (this.closed || !this.#received) return
    if (message.type === 'events') this.#receiveEvents(message.events)
    else if (message.type === 'gap') {
      const { reason, from, to, count } = message
      this.#lastValues?.miss(to)
      this.#waiting.push({ position: this.#received, item: { reason, from, to, count } })
    } else if (message.type === 'presence') this.#receiveMembers(message)
    this.#drain()
    this.wake()
    if (this.#waits < mostWaiting || this.#heldBack || this.closed) return
    this.#heldBack = true
    this.feed.unsubscribe(this)
  }

  advance(offset: number): void {
    if (!this.#received || offset <= this.#received.offset) return
    this.#received = { epoch: this.#received.epoch, offset }
    this.#save()
  }

  warn(error: MillraceClientError): void {
    this.emit('warning', error)
  }

  protected failed(error: MillraceClientError): void {
    this.emit('error', error)
  }

  protected override release(): void {
    this.#saved?.close()
  }

  get #waits(): number {
    return this.#waiting.length - this.#taken
  }

  #receiveEvents(frames: readonly (EventFrame | DeltaFrame)[]): void {
    for (const frame of frames) {
      if (!this.#received || frame.offset <= this.#received.offset) continue
      const event = this.#lastValues ? this.#lastValues.restore(frame) : whole(frame)
      if (!event) {
        this.#beginAnew()
        return
      }
      this.#received = { epoch: this.#received.epoch, offset: frame.offset }
      this.#waiting.push({ position: this.#received, item: event })
    }
  }

  /** What a delta applies to is not here: rather the same events again than a wrong value, and at last without deltas. */
  #beginAnew(): void {
    const offset = this.#received?.offset
    if (this.#beganAnewAt === offset) this.#lastValues = undefined
    else this.#lastValues?.clear()
    this.#beganAnewAt = offset
    this.feed.restart(this)
  }

  #receiveMembers({ members, joined = [], left = [] }: PresenceMessage): void {
    if (members) this.#members.clear()
    for (const member of [...(members ?? []), ...joined]) this.#members.set(member.id, member)
    for (const id of left) this.#members.delete(id)
    this.#memberList = [...this.#members.values()]
    this.emit('presence', this.#memberList)
  }

  /** Hands out what nobody has to ask for: events while someone listens to them, and gaps before which nothing waits. */
  #drain(): void {
    while (this.#waits > 0 && (this.listensTo('event') || isGap(this.#waiting[this.#taken]?.item))) {
      const event = this.#next()
      if (event) this.emit('event', event)
    }
    this.#save()
  }

  /** The next event to hand out. Gaps before it are told. */
  #next(): LiveEvent<Value> | undefined {
    for (;;) {
      const next = this.#waiting[this.#taken]
      if (!next) return undefined
      this.#taken++
      this.#handed = next.position
      if (this.#taken === this.#waiting.length || this.#taken >= mostWaiting) {
        this.#waiting = this.#waiting.slice(this.#taken)
        this.#taken = 0
      }
      this.#goOn()
      if (isEvent<Value>(next.item)) return next.item
      if (isGap(next.item)) this.emit('gap', next.item)
    }
  }

  #goOn(): void {
    if (!this.#heldBack || this.#waits > fewWaiting) return
    this.#heldBack = false
    if (!this.closed) this.feed.subscribe(this)
  }

  /** What the consumer has not dealt with yet is to come again after a reload. */
  #save(): void {
    const { position } = this
    if (this.#saved && position && !this.#inHand) this.#saved.save(position)
  }
}

function whole(frame: EventFrame | DeltaFrame): EventFrame | undefined {
  return 'value' in frame ? frame : undefined
}

function isGap(item: EventFrame | Gap | undefined): item is Gap {
  return item !== undefined && 'reason' in item
}

/** What values are is between whoever publishes and whoever subscribes. */
function isEvent<Value>(item: EventFrame | Gap): item is EventFrame & LiveEvent<Value> {
  return 'value' in item
}
