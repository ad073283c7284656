import { errorMessage } from '../core/errors.ts'
import type { Matched } from './channel-event.ts'
import type { Encoding } from './encoding.ts'
import type { Flow } from './flow.ts'
import { Gate } from './gate.ts'
import type { GroupBatch } from './group-batch.ts'
import type { LiveLimits } from './limits.ts'
import type { Logger } from './logger.ts'
import { closeCodes, type GapReason, type ServerMessage } from './protocol.ts'
import type { Connection, Ending, Subscription } from './subscription.ts'

/** Pages of the log that a session reads at the same time. */
const pagesAtATime = 4

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
  /** A session that is present on a channel. */
  member(channel: string, change: 1 | -1): void
  delivered(channel: string, events: number): void
  skipped(channel: string, reason: GapReason, events: number): void
  closed(code: number): void
}

export interface SenderSettings {
  readonly transport: Transport
  readonly encoding: Encoding
  readonly limits: LiveLimits
  readonly observer: LiveObserver
  readonly logger: Logger
  /** Ends the session with a close code. */
  readonly end: (code: number, reason: string) => void
  /** Ends a subscription, and tells the client why. */
  readonly endSubscription: (id: string, ending: Ending) => void
}

/**
 * Sends one client what it subscribed to, as fast as its network takes it and no faster. What waits is bounded: beyond
 * the limit it is conflated, then sampled, and a client that takes nothing for too long is closed.
 */
export class Sender implements Connection {
  readonly flows = new Set<Flow>()
  readonly reading = new Gate(pagesAtATime)
  readonly #settings: SenderSettings
  #pumping = false
  #stopped = false
  #timer: NodeJS.Timeout | undefined
  #progressAt = performance.now()

  constructor(settings: SenderSettings) {
    this.#settings = settings
  }

  get encoding(): Encoding {
    return this.#settings.encoding
  }

  get ready(): boolean {
    return this.#settings.transport.buffered < this.#settings.limits.highWaterBytes
  }

  /** Nothing is sent from here on. */
  stop(): void {
    this.#stopped = true
    this.reading.close()
    clearTimeout(this.#timer)
  }

  /** An answer to a request. These cannot be left out, so a client that asks without reading is closed. */
  reply(message: ServerMessage): void {
    const { encoding, transport, limits } = this.#settings
    this.#send(encoding.message(message, undefined))
    if (transport.buffered > limits.queuedBytes) this.#tooSlow()
  }

  /** A frame that a flow has made. */
  send(frame: Uint8Array): void {
    this.#send(frame)
  }

  /** The connection is alive, and these are the offsets up to which everything has been sent. */
  heartbeat(): void {
    if (!this.ready) return
    const offsets: Record<string, number> = {}
    let epoch: string | undefined
    for (const flow of this.flows) {
      if (flow.settled === undefined) continue
      offsets[flow.id] = flow.settled
      epoch = flow.epoch
    }
    this.#send(this.#settings.encoding.message({ type: 'heartbeat', offsets }, epoch))
  }

  sendEvents(frame: Uint8Array, subscription: Subscription, events: number): void {
    this.#send(frame)
    this.#settings.observer.delivered(subscription.channel.name, events)
  }

  frame(subscription: Subscription, events: readonly Matched[], deltaFrom: number | undefined): Uint8Array {
    const texts = events.map((event) => ({ offset: event.offset, json: event.jsonSince(deltaFrom) }))
    return this.#settings.encoding.events(subscription.id, subscription.channel.epoch, texts, false)
  }

  sharedFrame(subscription: Subscription, batch: GroupBatch, deltaFrom: number | undefined): Uint8Array {
    return batch.frame(this.#settings.encoding, subscription.id, deltaFrom)
  }

  sendMessage(message: ServerMessage, subscription: Subscription): void {
    this.#send(this.#settings.encoding.message(message, subscription.channel.epoch))
  }

  wake(): void {
    if (this.#stopped) return
    this.#relieve()
    if (this.#pumping) return
    this.#pumping = true
    queueMicrotask(this.#pump)
  }

  skipped(subscription: Subscription, reason: GapReason, events: number): void {
    this.#settings.observer.skipped(subscription.channel.name, reason, events)
  }

  ended({ id }: Pick<Flow, 'id'>, ending: Ending): void {
    this.#settings.endSubscription(id, ending)
  }

  fail(error: unknown): void {
    if (this.#stopped) return
    this.#settings.logger.warn('A live session failed and was closed; its client can resume.', {
      error: errorMessage(error),
    })
    this.#settings.end(closeCodes.serverError, 'server error')
  }

  restart(): void {
    this.#settings.end(closeCodes.epochChanged, 'the channel starts anew')
  }

  /** Sends in turn from every subscription while the network takes it. */
  readonly #pump = (): void => {
    this.#pumping = false
    let more = true
    while (more && this.ready && !this.#stopped) {
      more = false
      for (const flow of this.flows) {
        if (!this.ready) {
          this.#beginNextWith(flow)
          break
        }
        if (flow.sendSome()) more = true
      }
    }
    this.#wakeWhenRateAllows()
  }

  /** Those before it have had their turn: what they have left must not keep the others from theirs. */
  #beginNextWith(flow: Flow): void {
    for (const served of this.flows) {
      if (served === flow) return
      this.flows.delete(served)
      this.flows.add(served)
    }
  }

  readonly #taken = (): void => {
    this.#progressAt = performance.now()
    if (this.#stopped || this.#pumping || !this.ready) return
    for (const flow of this.flows) {
      if (!flow.wants) continue
      this.wake()
      return
    }
  }

  #wakeWhenRateAllows(): void {
    clearTimeout(this.#timer)
    // Otherwise it goes on when the network has taken something.
    if (!this.ready) return
    let least = Number.POSITIVE_INFINITY
    for (const flow of this.flows) least = Math.min(least, flow.readyIn ?? least)
    if (this.#stopped || least === Number.POSITIVE_INFINITY) return
    this.#timer = setTimeout(() => this.wake(), Math.max(1, least))
  }

  /** Keeps what waits within its limit. Each time it acts it frees half, so it costs little for each event. */
  #relieve(): void {
    if (this.#waiting() <= 1) return
    if (performance.now() - this.#progressAt > this.#settings.limits.stalledMs) {
      this.#tooSlow()
      return
    }
    for (const flow of this.flows) flow.conflate()
    let dropped = 1
    while (dropped > 0 && this.#waiting() > 0.5) {
      dropped = 0
      for (const flow of this.flows) dropped += flow.sample()
    }
  }

  /** What waits, as a share of the limit. */
  #waiting(): number {
    const { queuedEvents, queuedBytes } = this.#settings.limits
    let events = 0
    let bytes = 0
    for (const { queued } of this.flows) {
      events += queued.events
      bytes += queued.bytes
    }
    return Math.max(events / queuedEvents, bytes / queuedBytes)
  }

  #tooSlow(): void {
    this.#settings.end(closeCodes.slowClient, 'too slow: resume')
  }

  #send(frame: Uint8Array): void {
    if (this.#stopped) return
    const { transport } = this.#settings
    if (transport.buffered === 0) this.#progressAt = performance.now()
    transport.send(frame, this.#taken)
  }
}
