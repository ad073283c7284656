import { errorCode, errorMessage, InvalidInput, MillraceError, Retryable } from '../core/errors.ts'
import type { Position } from '../core/event.ts'
import type { GroupBatch } from './channel.ts'
import type { Matched } from './channel-event.ts'
import type { Encoding } from './encoding.ts'
import { type Hub, tooManySubscriptions } from './hub.ts'
import type { LiveLimits } from './limits.ts'
import type { Logger } from './logger.ts'
import {
  type ClientMessage,
  closeCodes,
  type GapReason,
  type ServerMessage,
  type SubscribeOptions,
} from './protocol.ts'
import { clientMessage, firstProblem } from './schemas.ts'
import type { Connection, Subscription } from './subscription.ts'

/** One client's connection, whatever carries it. */
export interface Transport {
  /** Bytes that were sent and that the network has not taken yet. */
  readonly buffered: number
  /** `taken` is called when the network has taken the frame. */
  send(frame: Uint8Array, taken: () => void): void
  /** Reads nothing more from the client until `resume`. */
  pause?(): void
  resume?(): void
  close(code: number, reason: string): void
}

/** What is counted. */
export interface LiveObserver {
  session(transport: Encoding['name'], change: 1 | -1): void
  subscription(channel: string, change: 1 | -1): void
  delivered(channel: string, events: number): void
  skipped(channel: string, reason: GapReason, events: number): void
  closed(code: number): void
}

export type Publish = (topic: string, events: readonly unknown[], key: string | undefined) => Promise<Position[]>

export interface SessionContext {
  readonly hub: Hub
  readonly publish: Publish
  /** Checks a token; left out when none is needed. Answers when it expires, or null for never. */
  readonly authenticate: ((token: string) => Promise<{ expires: number | null } | undefined>) | undefined
  readonly limits: LiveLimits
  readonly observer: LiveObserver
  readonly logger: Logger
}

interface Held {
  readonly subscription: Subscription
  release(): void
}

/**
 * One client: answers its requests and sends it what it subscribed to, as fast as its network takes it and no faster.
 * What waits is bounded: beyond the limit it is conflated, then sampled, and a client that takes nothing is closed.
 */
export class Session implements Connection {
  readonly #transport: Transport
  readonly #encoding: Encoding
  readonly #context: SessionContext
  readonly #ended: () => void
  readonly #subscriptions = new Map<string, Held>()
  #authenticated: boolean
  #closed = false
  #subscribed = 0
  #requests = 0
  #badFrames = 0
  #pumping = false
  #timer: NodeJS.Timeout | undefined
  #progressAt = performance.now()

  constructor(
    transport: Transport,
    encoding: Encoding,
    context: SessionContext,
    authenticated: boolean,
    ended: () => void,
  ) {
    this.#transport = transport
    this.#encoding = encoding
    this.#context = context
    this.#authenticated = authenticated
    this.#ended = ended
    context.observer.session(encoding.name, 1)
    if (!authenticated) this.#expectToken()
  }

  get closed(): boolean {
    return this.#closed
  }

  get ready(): boolean {
    return this.#transport.buffered < this.#context.limits.highWaterBytes
  }

  /** A text frame from the client. Never throws: what is wrong is answered. */
  receive(text: string): void {
    if (this.#closed) return
    const message = this.#parse(text)
    if (!message) return
    this.#requests++
    if (this.#requests >= this.#context.limits.requests) this.#transport.pause?.()
    void this.#answer(message).finally(() => {
      this.#requests--
      if (this.#requests < this.#context.limits.requests) this.#transport.resume?.()
    })
  }

  /** A frame that is no message: binary, or not JSON. A few are answered, then the session is closed. */
  badFrame(message: string, id: number | null = null): void {
    this.#reply({ id, type: 'error', code: 'bad_message', message, retry: false })
    if (++this.#badFrames >= this.#context.limits.badFrames) this.close(closeCodes.badFrames, 'bad frames')
  }

  /** Adds a subscription and answers it. Throws what `Hub.subscribe` throws. */
  async subscribe(requestId: number, channel: string, options: SubscribeOptions): Promise<void> {
    const { limits, hub, observer } = this.#context
    if (this.#subscriptions.size >= limits.subscriptions) throw tooManySubscriptions(limits.subscriptions)
    const id = `s${++this.#subscribed}`
    const { subscription, from, recovered, release } = await hub.subscribe(id, channel, options, this)
    if (this.#closed || this.#subscriptions.size >= limits.subscriptions) {
      subscription.close()
      release()
      if (this.#closed) return
      throw tooManySubscriptions(limits.subscriptions)
    }
    observer.subscription(channel, 1)
    this.#subscriptions.set(id, { subscription, release })
    const { epoch } = subscription.channel
    this.#reply({ id: requestId, type: 'subscribed', subscription: id, epoch, offset: from - 1, recovered })
    subscription.start()
  }

  /** The connection is alive, and these are the offsets up to which everything has been sent. */
  heartbeat(): void {
    if (!this.ready) return
    const offsets: Record<string, number> = {}
    let epoch: string | undefined
    for (const [id, { subscription }] of this.#subscriptions) {
      const { settled } = subscription
      if (settled === undefined) continue
      offsets[id] = settled
      epoch = subscription.channel.epoch
    }
    this.#sendFrame(this.#encoding.message({ type: 'heartbeat', offsets }, epoch))
  }

  /** Ends the session; `code` is one of `closeCodes`. */
  close(code: number, reason: string): void {
    if (this.#closed) return
    this.#context.observer.closed(code)
    this.disconnected()
    this.#transport.close(code, reason)
  }

  /** The connection is gone: lets go of everything. */
  disconnected(): void {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#timer)
    for (const id of [...this.#subscriptions.keys()]) this.#drop(id)
    this.#context.observer.session(this.#encoding.name, -1)
    this.#ended()
  }

  sendEvents(frame: Uint8Array, subscription: Subscription, events: number): void {
    this.#sendFrame(frame)
    this.#context.observer.delivered(subscription.channel.name, events)
  }

  frame(subscription: Subscription, events: readonly Matched[]): Uint8Array {
    return this.#encoding.events(subscription.id, subscription.channel.epoch, events)
  }

  sharedFrame(subscription: Subscription, batch: GroupBatch): Uint8Array {
    return batch.frame(this.#encoding, subscription.id)
  }

  sendMessage(message: ServerMessage, subscription: Subscription): void {
    this.#sendFrame(this.#encoding.message(message, subscription.channel.epoch))
  }

  wake(): void {
    if (this.#closed) return
    this.#relieve()
    if (this.#pumping) return
    this.#pumping = true
    queueMicrotask(this.#pump)
  }

  skipped(subscription: Subscription, reason: GapReason, events: number): void {
    this.#context.observer.skipped(subscription.channel.name, reason, events)
  }

  /** Something failed that is not the client's fault: it may connect again and resume. */
  fail(error: unknown): void {
    if (this.#closed) return
    this.#context.logger.warn('A live session failed and was closed; its client can resume.', {
      error: errorMessage(error),
    })
    this.close(closeCodes.serverError, 'server error')
  }

  restart(): void {
    this.close(closeCodes.epochChanged, 'the channel starts anew')
  }

  /** Sends in turn from every subscription while the network takes it. */
  readonly #pump = (): void => {
    this.#pumping = false
    let more = true
    while (more && this.ready && !this.#closed) {
      more = false
      for (const { subscription } of this.#subscriptions.values()) {
        if (!this.ready) break
        if (subscription.sendSome()) more = true
      }
    }
    this.#wakeWhenRateAllows()
  }

  readonly #taken = (): void => {
    this.#progressAt = performance.now()
    if (!this.#closed && this.ready && !this.#pumping) {
      for (const { subscription } of this.#subscriptions.values()) {
        if (subscription.wants) {
          this.wake()
          return
        }
      }
    }
  }

  #wakeWhenRateAllows(): void {
    if (!this.#authenticated) return
    clearTimeout(this.#timer)
    let least = Number.POSITIVE_INFINITY
    for (const { subscription } of this.#subscriptions.values()) {
      least = Math.min(least, subscription.readyIn ?? Number.POSITIVE_INFINITY)
    }
    if (least !== Number.POSITIVE_INFINITY) this.#timer = setTimeout(() => this.wake(), Math.max(1, least))
  }

  /** Keeps what waits within its limit. Each time it acts it frees half, so it costs little for each event. */
  #relieve(): void {
    const { queuedEvents, queuedBytes, stalledMs } = this.#context.limits
    if (this.#waiting() <= 1) return
    if (performance.now() - this.#progressAt > stalledMs) {
      this.close(closeCodes.slowClient, 'too slow: resume')
      return
    }
    for (const { subscription } of this.#subscriptions.values()) subscription.conflate()
    while (this.#waiting() > 0.5) {
      const before = this.#waiting()
      for (const { subscription } of this.#subscriptions.values()) subscription.sample()
      // One event larger than the limit is all there is, and it may go.
      if (this.#waiting() === before || queuedEvents < 2 || queuedBytes < 2) return
    }
  }

  /** What waits, as a share of the limit. */
  #waiting(): number {
    let events = 0
    let bytes = 0
    for (const { subscription } of this.#subscriptions.values()) {
      events += subscription.outbox.length
      bytes += subscription.outbox.bytes
    }
    return Math.max(events / this.#context.limits.queuedEvents, bytes / this.#context.limits.queuedBytes)
  }

  #parse(text: string): ClientMessage | undefined {
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch (error) {
      this.badFrame(`The message is not JSON: ${errorMessage(error)}`)
      return undefined
    }
    const parsed = clientMessage.safeParse(value)
    if (parsed.success) return parsed.data
    this.badFrame(firstProblem(parsed.error), requestId(value))
    return undefined
  }

  async #answer(message: ClientMessage): Promise<void> {
    try {
      if (message.type === 'authenticate') return await this.#authenticate(message.id, message.token)
      if (!this.#authenticated) {
        throw new InvalidInput({
          code: 'unauthenticated',
          message: 'This server needs a token: send {"id":1,"type":"authenticate","token":"…"} first.',
        })
      }
      if (message.type === 'subscribe') {
        const { id, channel, filter, similar, since, conflate, maxRate } = message
        return await this.subscribe(id, channel, { filter, similar, since, conflate, maxRate })
      }
      if (message.type === 'unsubscribe') return this.#unsubscribe(message.id, message.subscription)
      const positions = await this.#context.publish(message.topic, message.events, message.key)
      this.#reply({ id: message.id, type: 'published', positions })
    } catch (error) {
      this.#reply(this.#errorReply(message.id, error))
    }
  }

  #unsubscribe(id: number, subscription: string): void {
    if (!this.#drop(subscription)) {
      throw new InvalidInput({ code: 'subscription_not_found', message: `There is no subscription "${subscription}".` })
    }
    this.#reply({ id, type: 'unsubscribed' })
  }

  async #authenticate(id: number, token: string): Promise<void> {
    const { authenticate } = this.#context
    const granted = authenticate ? await authenticate(token) : { expires: null }
    if (!granted) {
      this.#reply({ id, type: 'error', code: 'unauthenticated', message: 'The token is not valid.', retry: false })
      return this.close(closeCodes.unauthenticated, 'the token is not valid')
    }
    if (!this.#authenticated) clearTimeout(this.#timer)
    this.#authenticated = true
    this.#reply({ id, type: 'authenticated', expires: granted.expires })
  }

  #expectToken(): void {
    this.#timer = setTimeout(
      () => this.close(closeCodes.unauthenticated, 'no token was sent'),
      this.#context.limits.authenticateMs,
    )
    this.#timer.unref()
  }

  #errorReply(id: number, error: unknown): ServerMessage {
    if (error instanceof MillraceError) {
      const message = error.hint === undefined ? error.message : `${error.message} ${error.hint}`
      return { id, type: 'error', code: error.code, message, retry: error instanceof Retryable }
    }
    this.#context.logger.error('A live request failed unexpectedly.', { code: errorCode(error), error })
    return { id, type: 'error', code: 'internal_error', message: 'The server failed on this request.', retry: true }
  }

  #drop(id: string): boolean {
    const held = this.#subscriptions.get(id)
    if (!held) return false
    this.#subscriptions.delete(id)
    held.subscription.close()
    held.release()
    this.#context.observer.subscription(held.subscription.channel.name, -1)
    return true
  }

  #reply(message: ServerMessage): void {
    this.#sendFrame(this.#encoding.message(message, undefined))
    // Replies cannot be left out, so a client that asks without reading the answers is let go.
    if (this.#transport.buffered > this.#context.limits.queuedBytes)
      this.close(closeCodes.slowClient, 'too slow: resume')
  }

  #sendFrame(frame: Uint8Array): void {
    if (this.#closed) return
    if (this.#transport.buffered === 0) this.#progressAt = performance.now()
    this.#transport.send(frame, this.#taken)
  }
}

function requestId(value: unknown): number | null {
  if (typeof value !== 'object' || value === null || !('id' in value)) return null
  return typeof value.id === 'number' ? value.id : null
}
