import type { Audit } from '../core/audit.ts'
import { errorMessage } from '../core/errors.ts'
import type { Position } from '../core/event.ts'
import type { Principal } from '../core/principal.ts'
import type { ChannelPresence } from './channel-presence.ts'
import { Credentials } from './credentials.ts'
import type { Encoding } from './encoding.ts'
import { Gate } from './gate.ts'
import type { Hub } from './hub.ts'
import type { LiveLimits } from './limits.ts'
import type { LiveQueries } from './live-queries.ts'
import type { Logger } from './logger.ts'
import { type ClientMessage, closeCodes, type JsonValue, type SubscribeOptions } from './protocol.ts'
import { RequestMeter } from './request-meter.ts'
import { firstProblem, messageSchema } from './schemas.ts'
import { type LiveObserver, Sender, type Transport } from './sender.ts'
import { type Asked, answer, errorReply, subscribe } from './session-requests.ts'
import { SessionSubscriptions } from './session-subscriptions.ts'
import type { Ending } from './subscription.ts'

/** `principal` may publish to the topic. */
export type Publish = (
  topic: string,
  events: readonly JsonValue[],
  key: string | undefined,
  principal: Principal,
) => Promise<Position[]>

export interface SessionContext {
  readonly hub: Hub
  readonly presence: ChannelPresence
  readonly queries: LiveQueries
  readonly publish: Publish
  /** Who shows the token. Throws `Unauthenticated`. */
  readonly authenticate: (token: string) => Promise<Principal>
  readonly audit: Audit
  readonly limits: LiveLimits
  readonly observer: LiveObserver
  readonly logger: Logger
  /** Milliseconds that a client which is sent away should wait, drawn anew for each. */
  readonly reconnectAfter: () => number
}

/** The other end of a connection. */
export interface Caller {
  /** Undefined while it has to show a token. */
  readonly principal: Principal | undefined
  readonly address?: string | undefined
}

/** Codes after which all clients would come back at once if they were not told when. */
const sentAway: ReadonlySet<number> = new Set([closeCodes.goingAway, closeCodes.overloaded, closeCodes.tooManyRequests])

/** One client: takes its requests; its `Sender` sends it what it subscribed to. */
export class Session {
  readonly #transport: Transport
  readonly #encoding: Encoding
  readonly #context: SessionContext
  readonly #ended: () => void
  readonly #sender: Sender
  readonly #meter: RequestMeter
  readonly #asked: Asked
  /** Requests wait for a token that is being looked at. */
  #authentication: Promise<void> = Promise.resolve()
  #closed = false

  constructor(
    transport: Transport,
    encoding: Encoding,
    context: SessionContext,
    { principal, address }: Caller,
    ended: () => void,
  ) {
    this.#transport = transport
    this.#encoding = encoding
    this.#context = context
    this.#ended = ended
    const { limits, observer, logger } = context
    const end = (code: number, reason: string) => this.close(code, reason)
    const endSubscription = (id: string, ending: Ending) => {
      subscriptions.end(id, ending)
      // A stream of server-sent events is its one subscription.
      if (encoding.name === 'sse') end(closeCodes.idle, 'the subscription has ended')
    }
    const sender = new Sender({ transport, encoding, limits, observer, logger, end, endSubscription })
    this.#sender = sender
    this.#meter = new RequestMeter(limits)
    const credentials = new Credentials(principal, limits.authenticateMs, end)
    const subscriptions = new SessionSubscriptions(sender, credentials, limits.subscriptions)
    const embeddings = new Gate(limits.embeddings)
    this.#asked = { context, address, credentials, subscriptions, sender, embeddings, end }
    observer.session(encoding.name, 1)
  }

  get address(): string | undefined {
    return this.#asked.address
  }

  /** Whether the client has shown who it is. */
  get recognised(): boolean {
    return this.#asked.credentials.principal !== undefined
  }

  /** A text frame from the client. Never throws: what is wrong is answered. */
  receive(text: string): void {
    if (this.#closed) return
    const message = this.#parse(text)
    if (!message || !this.#admit(message.id)) return
    this.#meter.begin(text.length)
    if (this.#meter.busy) this.#transport.pause?.()
    const answered = this.#answer(message)
    if (message.type === 'authenticate') this.#authentication = answered
    void answered.finally(() => {
      this.#meter.end(text.length)
      if (!this.#meter.busy) this.#transport.resume?.()
    })
  }

  /** A frame that is no message of this protocol. A few are answered, then the session is closed. */
  badFrame(message: string): void {
    this.#sender.reply({ id: null, type: 'error', code: 'bad_message', message, retry: false })
    if (this.#meter.badFrame()) this.close(closeCodes.badFrames, 'bad frames')
  }

  /** Adds a subscription and answers it. Throws `Forbidden`, and what `Hub.subscribe` throws. */
  subscribe(requestId: number, channel: string, options: SubscribeOptions): Promise<void> {
    return subscribe(requestId, channel, options, this.#asked.credentials.require(), this.#asked)
  }

  /** Tells the client that the connection lives, unless it has been of no use for long. */
  heartbeat(): void {
    const { subscriptions } = this.#asked
    if (subscriptions.size === 0 && this.#meter.quietMs > this.#context.limits.idleMs) {
      this.close(closeCodes.idle, 'nothing was asked for')
    } else this.#sender.heartbeat()
  }

  /** Ends the session; `code` is one of `closeCodes`. */
  close(code: number, reason: string): void {
    if (this.#closed) return
    if (sentAway.has(code)) {
      this.#sender.reply({ type: 'reconnect', after: this.#context.reconnectAfter(), reason })
    }
    this.#context.observer.closed(code)
    this.disconnected()
    this.#transport.close(code, reason)
  }

  /** The connection is gone: lets go of everything. */
  disconnected(): void {
    if (this.#closed) return
    this.#closed = true
    this.#sender.stop()
    this.#asked.credentials.stop()
    this.#asked.subscriptions.close()
    this.#asked.embeddings.close()
    this.#context.observer.session(this.#encoding.name, -1)
    this.#ended()
  }

  #parse(text: string): ClientMessage | undefined {
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch (error) {
      this.badFrame(`The message is not JSON: ${errorMessage(error)}`)
      return undefined
    }
    const parsed = messageSchema(value).safeParse(value)
    if (parsed.success) return parsed.data
    const message = firstProblem(parsed.error)
    const id = requestId(value)
    if (id === undefined) this.badFrame(message)
    else if (this.#admit(id)) this.#sender.reply({ id, type: 'error', code: 'bad_message', message, retry: false })
    return undefined
  }

  /** Whether the request is within the session's rate; if not, that is answered. */
  #admit(id: number): boolean {
    const verdict = this.#meter.admit()
    if (verdict === 'admitted') return true
    if (verdict === 'excessive') {
      this.close(closeCodes.tooManyRequests, 'too many requests')
      return false
    }
    const message = `A session may make ${this.#context.limits.requestsPerSecond} requests a second.`
    this.#sender.reply({ id, type: 'error', code: 'rate_limited', message, retry: true })
    return false
  }

  async #answer(message: ClientMessage): Promise<void> {
    try {
      await this.#authentication
      await answer(message, this.#asked)
    } catch (error) {
      this.#sender.reply(errorReply(message.id, error, this.#context))
    }
  }
}

function requestId(value: unknown): number | undefined {
  if (typeof value !== 'object' || value === null || !('id' in value)) return undefined
  return typeof value.id === 'number' ? value.id : undefined
}
