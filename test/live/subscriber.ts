import { mergePatch } from '../../src/client/deltas.ts'
import type { LiveEvent } from '../../src/core/live-log.ts'
import { unrestricted } from '../../src/core/principal.ts'
import type { Live, Session, Transport } from '../../src/live/index.ts'
import type { DeltaFrame, EventFrame, ServerMessage, Since, SubscribeOptions } from '../../src/live/protocol.ts'

/** A network that takes frames when the test says so, and loses those it has not taken when it breaks. */
class Network implements Transport {
  readonly #frames: { frame: Uint8Array; taken: () => void }[] = []
  readonly #deliver: (message: ServerMessage) => void
  closed = false

  constructor(deliver: (message: ServerMessage) => void) {
    this.#deliver = deliver
  }

  get buffered(): number {
    return this.#frames.reduce((sum, { frame }) => sum + frame.byteLength, 0)
  }

  send(frame: Uint8Array, taken: () => void): void {
    this.#frames.push({ frame, taken })
  }

  close(): void {
    this.closed = true
  }

  take(count: number): void {
    for (const { frame, taken } of this.#frames.splice(0, count)) {
      this.#deliver(JSON.parse(new TextDecoder().decode(frame)))
      taken()
    }
  }
}

export interface Told {
  readonly from: number
  readonly to: number
  /** `unrecovered`: the position that was asked for could not be had. */
  readonly reason: 'conflated' | 'sampled' | 'expired' | 'unrecovered'
}

/** What a subscriber has of one epoch. */
export interface Received {
  /** Everything after this offset is its due. */
  readonly since: number
  readonly events: EventFrame[]
  readonly told: Told[]
}

/**
 * Keeps to the protocol: remembers where it is, and what it was told that it missed. Throws when an event comes twice or
 * out of order, and when a new epoch is passed off as a resumption.
 */
export class Subscriber {
  readonly options: SubscribeOptions
  readonly received = new Map<string, Received>()
  readonly #begin: Since
  /** What came over the present connection. */
  #connected: EventFrame[] = []
  #network: Network | undefined
  #session: Session | undefined
  #asked: Since
  #at: { epoch: string; offset: number } | undefined

  constructor(live: Live, { since = 'latest', ...options }: SubscribeOptions) {
    this.options = options
    this.#begin = since
    this.#asked = since
    this.connect(live)
  }

  get epoch(): string | undefined {
    return this.#at?.epoch
  }

  get offset(): number {
    return this.#at?.offset ?? -2
  }

  /** Leaves the gateway that it is at, with all that is on its way, for this one. */
  connect(live: Live): void {
    this.#session?.disconnected()
    const network = new Network((message) => this.#receive(message))
    this.#network = network
    this.#connected = []
    this.#session = live.open(network, { principal: unrestricted('local') })
    this.#asked = this.#at ?? this.#begin
    const request = { id: 1, type: 'subscribe', channel: 'c', ...this.options, since: this.#asked }
    this.#session.receive(JSON.stringify(request))
  }

  /** Takes so many frames. False if the server has closed the connection. */
  take(count: number): boolean {
    this.#network?.take(count)
    return this.#network?.closed !== true
  }

  /** Makes the server say how far it is. */
  heartbeat(): void {
    this.#session?.heartbeat()
  }

  #receive(message: ServerMessage): void {
    if (message.type === 'error') throw new Error(`${message.code}: ${message.message}`)
    if (message.type === 'subscribed') this.#subscribed(message.epoch, message.offset, message.recovered)
    const at = this.#at
    const received = at && this.received.get(at.epoch)
    if (!at || !received) return
    if (message.type === 'gap') received.told.push({ from: message.from, to: message.to, reason: message.reason })
    if (message.type === 'heartbeat') this.#advance(message.offsets.s1 ?? -1)
    if (message.type !== 'events') return
    for (const event of message.events) {
      const last = received.events.at(-1)?.offset ?? -1
      if (event.offset <= last) throw new Error(`offset ${event.offset} came after ${last}`)
      if (event.offset <= received.since) throw new Error(`offset ${event.offset} was not asked for`)
      const whole = 'value' in event ? event : this.#whole(event)
      received.events.push(whole)
      this.#connected.push(whole)
      this.#advance(event.offset)
    }
  }

  /** A delta applies to an event that came over the same connection. */
  #whole({ base, delta, ...event }: DeltaFrame): EventFrame {
    if (this.options.delta !== true) throw new Error('a delta came that was not asked for')
    const before = this.#connected.find(({ offset }) => offset === base)
    if (before?.key !== event.key) throw new Error(`the base ${base} did not come, or has another key`)
    return { ...event, value: mergePatch(before.value, delta) }
  }

  #subscribed(epoch: string, offset: number, recovered: boolean): void {
    const before = this.#at
    const known = this.received.get(epoch)
    if (before && before.epoch !== epoch && recovered) throw new Error('another epoch was said to be a resumption')
    if (before?.epoch === epoch && recovered && offset !== before.offset) throw new Error('it resumed elsewhere')
    if (!known) this.received.set(epoch, { since: offset, events: [], told: [] })
    else if (!recovered) known.told.push({ from: (before?.offset ?? -1) + 1, to: offset, reason: 'unrecovered' })
    this.#at = { epoch, offset }
  }

  #advance(offset: number): void {
    if (this.#at && offset > this.#at.offset) this.#at = { epoch: this.#at.epoch, offset }
  }
}

/** What of an event a subscriber has to be sent. */
export function sentOf({ id, key, value, version }: LiveEvent | EventFrame): unknown {
  return { id, key, value, version }
}
