import { WebSocket } from 'ws'
import { z } from 'zod'
import { protocolName } from '../../src/live/protocol.ts'

export interface ClientOptions {
  /** Gateways, such as `http://127.0.0.1:8080`: it goes from one to the next. */
  readonly addresses: readonly string[]
  readonly channel: string
  /** Every event of the channel, or those with an even offset. */
  readonly only?: 'even' | undefined
  /** Does not say where it was when it comes back. */
  readonly forgetful?: boolean | undefined
}

const position = z.object({ offset: z.number() })
const message = z.discriminatedUnion('type', [
  z.object({ type: z.literal('subscribed'), epoch: z.string(), offset: z.number(), recovered: z.boolean() }),
  z.object({ type: z.literal('events'), events: z.array(position) }),
  z.object({ type: z.literal('gap'), from: z.number(), to: z.number() }),
  z.object({ type: z.literal('heartbeat') }),
  z.object({ type: z.literal('reconnect'), after: z.number() }),
  z.object({ type: z.literal('error'), code: z.string() }),
])
const longestWaitMs = 300
const silenceMs = 15_000

/** Keeps to the protocol over connections that break, as the SDK does, in so little code that a thousand fit beside the servers. */
export class ResumingClient {
  /** What was wrong: an event twice, out of order, or left out without a word; an error. */
  readonly problems: string[] = []
  /** How often it was told to come back, and when. */
  readonly advice: number[] = []
  connections = 0
  gaps = 0
  readonly #options: ClientOptions
  #turn: number
  #socket: WebSocket | undefined
  #timer: NodeJS.Timeout | undefined
  #at: { readonly epoch: string; readonly offset: number } | undefined
  #isSubscribed = false
  #stopped = false

  constructor(options: ClientOptions, turn: number) {
    this.#options = options
    this.#turn = turn
    this.#connect()
  }

  get isSubscribed(): boolean {
    return this.#isSubscribed
  }

  /** Of the last event that it has, or knows to have missed; -1 before the first. */
  get offset(): number {
    return this.#at?.offset ?? -1
  }

  /** The network breaks: nobody says good-bye. */
  drop(): void {
    this.#socket?.terminate()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
    this.#socket?.terminate()
  }

  #connect(): void {
    const { addresses, channel, only, forgetful } = this.#options
    const address = addresses[this.#turn++ % addresses.length] ?? ''
    const socket = new WebSocket(`${address.replace('http', 'ws')}/v1/live`, protocolName, {
      perMessageDeflate: false,
      handshakeTimeout: silenceMs,
    })
    this.#socket = socket
    socket.on('open', () => {
      this.connections++
      const filter = only === 'even' ? 'value.n % 2 == 0' : undefined
      const since = forgetful === true || this.#at === undefined ? 'latest' : this.#at
      socket.send(JSON.stringify({ id: 1, type: 'subscribe', channel, filter, since }))
    })
    socket.on('message', (data) => this.#receive(String(data)))
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.#isSubscribed = false
      if (!this.#stopped) this.#timer = setTimeout(() => this.#connect(), Math.random() * longestWaitMs)
    })
  }

  #receive(text: string): void {
    const received = message.parse(JSON.parse(text))
    if (received.type === 'error') this.problems.push(`error ${received.code}`)
    else if (received.type === 'reconnect') this.advice.push(received.after)
    else if (received.type === 'subscribed') this.#subscribed(received)
    else if (received.type === 'gap') {
      this.gaps++
      if (received.from <= this.offset + 1) this.#advance(received.to)
    } else if (received.type === 'events') for (const { offset } of received.events) this.#take(offset)
  }

  #subscribed({ epoch, offset, recovered }: { epoch: string; offset: number; recovered: boolean }): void {
    this.#isSubscribed = true
    if (this.#at === undefined) this.#at = { epoch, offset }
    else if (!recovered || epoch !== this.#at.epoch) {
      this.gaps++
      this.#at = { epoch, offset }
    }
  }

  #take(offset: number): void {
    const step = this.#options.only === 'even' ? 2 : 1
    const expected = this.offset + (this.offset % 2 === 0 ? step : 1)
    if (offset !== expected) this.problems.push(`${offset} came where ${expected} was due`)
    this.#advance(offset)
  }

  #advance(offset: number): void {
    if (this.#at && offset > this.#at.offset) this.#at = { epoch: this.#at.epoch, offset }
  }
}
