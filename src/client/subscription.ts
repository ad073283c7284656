import type {
  ChannelPosition,
  EventFrame,
  GapReason,
  Since,
  SubscribedMessage,
  SubscribeOptions,
} from '../live/protocol.ts'
import { MillraceClientError } from './errors.ts'

/** Events that were not received. `unrecovered`: the server no longer has them; load a snapshot. */
export interface Gap {
  readonly reason: GapReason | 'unrecovered'
  readonly from: number
  readonly to: number
  readonly count?: number | undefined
}

export interface SubscriptionEvents {
  event: EventFrame
  gap: Gap
  /** Events flow, at first and after each reconnection. */
  subscribed: { readonly position: ChannelPosition; readonly recovered: boolean }
  /** The subscription has ended. */
  error: MillraceClientError
}
type Name = keyof SubscriptionEvents
type Listeners = { [Type in Name]: Set<(event: SubscriptionEvents[Type]) => void> }

/** How many events may wait for a consumer that iterates, before the server is asked to stop. */
const mostWaiting = 2_000

/** What a subscription asks of its connection. */
export interface Feed {
  subscribe(subscription: Subscription): void
  unsubscribe(subscription: Subscription): void
}

/**
 * The events of a channel, in order and each once, across reconnections. Take them with `for await` or with
 * `on('event', …)`; what could not be had is told by `on('gap', …)`.
 */
export class Subscription implements AsyncIterable<EventFrame> {
  readonly channel: string
  readonly #options: SubscribeOptions
  readonly #feed: Feed
  readonly #listeners: Listeners = { event: new Set(), gap: new Set(), subscribed: new Set(), error: new Set() }
  #position: ChannelPosition | undefined
  #waiting: EventFrame[] = []
  #wake: () => void = () => undefined
  #state: 'flowing' | 'held back' | 'closed' = 'flowing'
  #error: MillraceClientError | undefined
  readonly #ready: Promise<void>
  #flows: () => void = () => undefined
  #ends: (error: MillraceClientError) => void = () => undefined

  constructor(channel: string, options: SubscribeOptions, feed: Feed) {
    this.channel = channel
    this.#options = options
    this.#feed = feed
    this.#ready = new Promise((resolve, reject) => {
      this.#flows = resolve
      this.#ends = reject
    })
    // Only whoever asks is told.
    this.#ready.catch(() => undefined)
  }

  /** Of the last event that was received; a later subscription can go on from here with `since`. */
  get position(): ChannelPosition | undefined {
    return this.#position
  }

  get closed(): boolean {
    return this.#state === 'closed'
  }

  /** Answers what takes the listener off again. With an `event` listener nothing waits for an iteration. */
  on<Type extends Name>(type: Type, listener: (event: SubscriptionEvents[Type]) => void): () => void {
    const listeners: Set<(event: SubscriptionEvents[Type]) => void> = this.#listeners[type]
    listeners.add(listener)
    if (type === 'event') for (const event of this.#take()) this.#emit('event', event)
    return () => listeners.delete(listener)
  }

  /** Resolves when events flow for the first time. Rejects if the server refuses the subscription, or it is closed before. */
  ready(): Promise<void> {
    return this.#ready
  }

  close(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#ends(new MillraceClientError({ code: 'closed', message: 'The subscription is closed.' }))
    this.#feed.unsubscribe(this)
    this.#wake()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<EventFrame, void, undefined> {
    try {
      for (;;) {
        yield* this.#take()
        if (this.#waiting.length > 0) continue
        if (this.#error) throw this.#error
        if (this.#state === 'closed') return
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
    } finally {
      this.close()
    }
  }

  /** For the connection: what to ask the server for. */
  request(): SubscribeOptions {
    const since: Since = this.#position ?? this.#options.since ?? 'latest'
    return { ...this.#options, since }
  }

  /** For the connection: the server has answered. */
  accept({ epoch, offset, recovered }: SubscribedMessage): void {
    const before = this.#position ?? positionIn(this.#options.since)
    if (!recovered) {
      const from = before?.epoch === epoch ? before.offset + 1 : 0
      this.#emit('gap', { reason: 'unrecovered', from, to: offset })
    }
    this.#position = { epoch, offset }
    this.#flows()
    this.#emit('subscribed', { position: this.#position, recovered })
  }

  /** For the connection: events have come. What was seen before is dropped. */
  receive(events: readonly EventFrame[]): void {
    for (const event of events) {
      if (this.#state === 'closed' || !this.#position || event.offset <= this.#position.offset) continue
      this.#position = { epoch: this.#position.epoch, offset: event.offset }
      if (this.#listeners.event.size > 0) this.#emit('event', event)
      else this.#waiting.push(event)
    }
    this.#wake()
    if (this.#waiting.length >= mostWaiting && this.#state === 'flowing') {
      this.#state = 'held back'
      this.#feed.unsubscribe(this)
    }
  }

  /** For the connection: everything up to this offset has come. */
  advance(offset: number): void {
    if (this.#position && offset > this.#position.offset) this.#position = { epoch: this.#position.epoch, offset }
  }

  miss(gap: Gap): void {
    this.#emit('gap', gap)
  }

  fail(error: MillraceClientError): void {
    if (this.#state === 'closed') return
    this.#error = error
    this.#state = 'closed'
    this.#ends(error)
    this.#emit('error', error)
    this.#wake()
  }

  /** One by one, so that a consumer which stops early leaves nothing behind. */
  *#take(): Generator<EventFrame> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting
      this.#waiting = []
      yield* batch
    }
    if (this.#state === 'held back') {
      this.#state = 'flowing'
      this.#feed.subscribe(this)
    }
  }

  #emit<Type extends Name>(type: Type, event: SubscriptionEvents[Type]): void {
    const listeners: Set<(event: SubscriptionEvents[Type]) => void> = this.#listeners[type]
    for (const listener of listeners) {
      try {
        listener(event)
      } catch (error) {
        // As with DOM events: it is reported, and neither the other listeners nor the events after it are lost for it.
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }
}

function positionIn(since: Since | undefined): ChannelPosition | undefined {
  return typeof since === 'object' && 'epoch' in since ? since : undefined
}
