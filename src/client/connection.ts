import {
  type ClientMessage,
  heartbeatMs,
  protocolName,
  type ServerMessage,
  type SubscribeOptions,
  shouldReconnect,
} from '../live/protocol.ts'
import { MillraceClientError } from './errors.ts'
import { findWebSocket, type WebSocketConstructor, type WebSocketLike } from './socket.ts'
import { type Feed, Subscription } from './subscription.ts'

export type ConnectionState = 'idle' | 'connecting' | 'open' | 'waiting' | 'closed'

export interface ConnectionOptions {
  readonly url: string
  readonly token: string | undefined
  readonly WebSocket: WebSocketConstructor | undefined
}

const firstDelayMs = 200
const longestDelayMs = 15_000
/** Nothing for so long, not even a heartbeat: the connection is dead, whatever the platform says. */
const silenceMs = heartbeatMs * 2.5

/** Half to all of a delay that doubles with every attempt, so that clients do not all come back at once. */
export function reconnectDelay(attempt: number, random: () => number = Math.random): number {
  const delay = Math.min(longestDelayMs, firstDelayMs * 2 ** attempt)
  return delay * (0.5 + random() / 2)
}

/**
 * One WebSocket for all subscriptions: opened with the first, closed after the last, and opened again when it breaks.
 *
 *   idle --[subscribe]--> connecting --[ready]--> open --[break]--> waiting --[delay]--> connecting
 *   any --[last unsubscribe]--> idle; any --[close]--> closed
 */
export class Connection implements Feed {
  readonly #options: ConnectionOptions
  readonly #stateChanged: (state: ConnectionState) => void
  readonly #subscriptions = new Set<Subscription>()
  /** By the server's name for them. */
  readonly #active = new Map<string, Subscription>()
  readonly #requests = new Map<number, (message: ServerMessage) => void>()
  readonly #retries = new Set<ReturnType<typeof setTimeout>>()
  #state: ConnectionState = 'idle'
  #socket: WebSocketLike | undefined
  #attempt = 0
  #lastRequest = 0
  #timer: ReturnType<typeof setTimeout> | undefined
  #silence: ReturnType<typeof setTimeout> | undefined

  constructor(options: ConnectionOptions, stateChanged: (state: ConnectionState) => void) {
    this.#options = options
    this.#stateChanged = stateChanged
  }

  get state(): ConnectionState {
    return this.#state
  }

  open(channel: string, options: SubscribeOptions): Subscription {
    const subscription = new Subscription(channel, options, this)
    if (this.#state === 'closed') {
      subscription.fail(new MillraceClientError({ code: 'closed', message: 'The client is closed.' }))
    } else this.subscribe(subscription)
    return subscription
  }

  subscribe(subscription: Subscription): void {
    if (this.#state === 'closed') {
      // It was held back while the others ended.
      subscription.close()
      return
    }
    this.#subscriptions.add(subscription)
    if (this.#state === 'open') this.#ask(subscription)
    else if (this.#state === 'idle') void this.#connect()
  }

  unsubscribe(subscription: Subscription): void {
    this.#subscriptions.delete(subscription)
    for (const [name, active] of this.#active) {
      if (active !== subscription) continue
      this.#active.delete(name)
      if (this.#state === 'open') this.#send({ id: ++this.#lastRequest, type: 'unsubscribe', subscription: name })
    }
    // One that is only held back comes back; one that is closed does not.
    if (this.#subscriptions.size === 0 && subscription.closed) this.#disconnect('idle')
  }

  close(): void {
    for (const subscription of [...this.#subscriptions]) subscription.close()
    this.#disconnect('closed')
  }

  async #connect(): Promise<void> {
    this.#become('connecting')
    try {
      const WebSocket = await findWebSocket(this.#options.WebSocket)
      if (this.#state !== 'connecting' || this.#socket) return
      const socket = new WebSocket(this.#options.url, protocolName)
      this.#socket = socket
      const current = (act: () => void) => () => {
        if (this.#socket === socket) act()
      }
      socket.addEventListener(
        'open',
        current(() => this.#opened()),
      )
      socket.addEventListener('error', () => undefined)
      socket.addEventListener('message', ({ data }) => current(() => this.#received(data))())
      socket.addEventListener('close', ({ code, reason }) => current(() => this.#broke(code, reason))())
      this.#listenForSilence()
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      this.#failAll(new MillraceClientError({ code: 'cannot_connect', message }))
    }
  }

  #opened(): void {
    const { token } = this.#options
    if (token === undefined) this.#start()
    else
      this.#send({
        id: this.#expect(({ type }) => type === 'authenticated' && this.#start()),
        type: 'authenticate',
        token,
      })
  }

  #start(): void {
    this.#become('open')
    for (const subscription of this.#subscriptions) this.#ask(subscription)
  }

  #ask(subscription: Subscription): void {
    const id = this.#expect((message) => {
      if (message.type === 'error') return this.#refused(subscription, message)
      if (message.type !== 'subscribed') return
      this.#attempt = 0
      if (!this.#subscriptions.has(subscription)) {
        this.#send({ id: ++this.#lastRequest, type: 'unsubscribe', subscription: message.subscription })
        return
      }
      this.#active.set(message.subscription, subscription)
      subscription.accept(message)
    })
    this.#send({ id, type: 'subscribe', channel: subscription.channel, ...subscription.request() })
  }

  #refused(subscription: Subscription, { code, message, retry }: { code: string; message: string; retry: boolean }) {
    if (retry) return this.#askLater(subscription)
    this.#subscriptions.delete(subscription)
    subscription.fail(new MillraceClientError({ code, message }))
    if (this.#subscriptions.size === 0) this.#disconnect('idle')
  }

  #askLater(subscription: Subscription): void {
    const timer = setTimeout(
      () => {
        this.#retries.delete(timer)
        if (this.#subscriptions.has(subscription)) this.#ask(subscription)
      },
      reconnectDelay(this.#attempt++),
    )
    this.#retries.add(timer)
  }

  #received(data: unknown): void {
    this.#listenForSilence()
    const message = parse(data)
    if (!message) return
    if (message.type === 'events') {
      this.#active.get(message.subscription)?.receive(message.events.filter((event) => 'value' in event))
    } else if (message.type === 'heartbeat') {
      for (const [name, offset] of Object.entries(message.offsets)) this.#active.get(name)?.advance(offset)
    } else if (message.type === 'gap') {
      const { subscription, reason, from, to, count } = message
      this.#active.get(subscription)?.miss({ reason, from, to, count })
    } else if ('id' in message && message.id !== null) {
      const answer = this.#requests.get(message.id)
      this.#requests.delete(message.id)
      answer?.(message)
    }
  }

  #broke(code: number, reason: string): void {
    this.#forget()
    if (!shouldReconnect(code)) {
      const message = `The server closed the connection: ${reason || code}.`
      this.#failAll(new MillraceClientError({ code: 'connection_refused', message, status: code }))
      return
    }
    this.#become('waiting')
    this.#timer = setTimeout(() => void this.#connect(), reconnectDelay(this.#attempt++))
  }

  #failAll(error: MillraceClientError): void {
    const failed = [...this.#subscriptions]
    this.#subscriptions.clear()
    this.#disconnect('idle')
    for (const subscription of failed) subscription.fail(error)
  }

  #disconnect(state: 'idle' | 'closed'): void {
    const socket = this.#socket
    this.#forget()
    socket?.close(1000)
    this.#become(state)
  }

  /** Whatever the old socket still says is not heard, and nothing more is asked of it. */
  #forget(): void {
    clearTimeout(this.#timer)
    clearTimeout(this.#silence)
    for (const timer of this.#retries) clearTimeout(timer)
    this.#retries.clear()
    this.#socket = undefined
    this.#active.clear()
    this.#requests.clear()
  }

  #listenForSilence(): void {
    clearTimeout(this.#silence)
    this.#silence = setTimeout(() => {
      const socket = this.#socket
      this.#broke(1006, 'silence')
      socket?.close()
    }, silenceMs)
  }

  #expect(answer: (message: ServerMessage) => void): number {
    const id = ++this.#lastRequest
    this.#requests.set(id, answer)
    return id
  }

  #send(message: ClientMessage): void {
    this.#socket?.send(JSON.stringify(message))
  }

  #become(state: ConnectionState): void {
    if (this.#state === state || this.#state === 'closed') return
    this.#state = state
    this.#stateChanged(state)
  }
}

function parse(data: unknown): ServerMessage | undefined {
  if (typeof data !== 'string') return undefined
  try {
    const message: unknown = JSON.parse(data)
    return isServerMessage(message) ? message : undefined
  } catch {
    return undefined
  }
}

/** The server is trusted to keep to the protocol; messages of a later version that are not known are let pass. */
function isServerMessage(message: unknown): message is ServerMessage {
  return typeof message === 'object' && message !== null && 'type' in message && typeof message.type === 'string'
}
