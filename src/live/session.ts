import type { Audit } from '../core/audit.ts'
import { errorCode, errorMessage, InvalidInput, MillraceError, Retryable, Unauthenticated } from '../core/errors.ts'
import type { Position } from '../core/event.ts'
import type { Principal } from '../core/principal.ts'
import type { Encoding } from './encoding.ts'
import type { Hub } from './hub.ts'
import type { LiveLimits } from './limits.ts'
import type { Logger } from './logger.ts'
import {
  type ClientMessage,
  closeCodes,
  type JsonValue,
  type ServerMessage,
  type SubscribeOptions,
} from './protocol.ts'
import { clientMessage, firstProblem } from './schemas.ts'
import { type LiveObserver, Sender, type Transport } from './sender.ts'
import type { Subscription } from './subscription.ts'

export type Publish = (topic: string, events: readonly JsonValue[], key: string | undefined) => Promise<Position[]>

export interface SessionContext {
  readonly hub: Hub
  readonly publish: Publish
  /** Who shows the token. Throws `Unauthenticated`. */
  readonly authenticate: (token: string) => Promise<Principal>
  readonly audit: Audit
  readonly limits: LiveLimits
  readonly observer: LiveObserver
  readonly logger: Logger
}

/** The other end of a connection. */
export interface Caller {
  /** Undefined while it has to show a token. */
  readonly principal: Principal | undefined
  readonly address?: string | undefined
}

interface Held {
  readonly subscription: Subscription
  release(): void
}

/** One client: answers its requests; its `Sender` sends it what it subscribed to. */
export class Session {
  readonly #transport: Transport
  readonly #encoding: Encoding
  readonly #context: SessionContext
  readonly #ended: () => void
  readonly #sender: Sender
  readonly #held = new Map<string, Held>()
  readonly #address: string | undefined
  /** Undefined until the client has shown who it is. */
  #principal: Principal | undefined
  #authentication: NodeJS.Timeout | undefined
  #closed = false
  #subscribed = 0
  #requests = 0
  #requestCharacters = 0
  #badFrames = 0

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
    this.#principal = principal
    this.#address = address
    this.#ended = ended
    const { limits, observer, logger } = context
    const end = (code: number, reason: string) => this.close(code, reason)
    this.#sender = new Sender({ transport, encoding, limits, observer, logger, end })
    observer.session(encoding.name, 1)
    if (!principal) this.#expectToken()
  }

  /** A text frame from the client. Never throws: what is wrong is answered. */
  receive(text: string): void {
    if (this.#closed) return
    const message = this.#parse(text)
    if (!message) return
    this.#requests++
    this.#requestCharacters += text.length
    if (this.#busy) this.#transport.pause?.()
    void this.#answer(message).finally(() => {
      this.#requests--
      this.#requestCharacters -= text.length
      if (!this.#busy) this.#transport.resume?.()
    })
  }

  /** A frame that is no message of this protocol. A few are answered, then the session is closed. */
  badFrame(message: string): void {
    this.#sender.reply({ id: null, type: 'error', code: 'bad_message', message, retry: false })
    if (++this.#badFrames >= this.#context.limits.badFrames) this.close(closeCodes.badFrames, 'bad frames')
  }

  /** Adds a subscription and answers it. Throws what `Hub.subscribe` throws. */
  async subscribe(requestId: number, channel: string, options: SubscribeOptions): Promise<void> {
    const { limits, hub, observer } = this.#context
    if (this.#held.size >= limits.subscriptions) throw tooManySubscriptions(limits.subscriptions)
    const id = `s${++this.#subscribed}`
    const { subscription, from, recovered, release } = await hub.subscribe(id, channel, options, this.#sender)
    if (this.#closed || this.#held.size >= limits.subscriptions) {
      subscription.close()
      release()
      if (this.#closed) return
      throw tooManySubscriptions(limits.subscriptions)
    }
    observer.subscription(channel, 1)
    this.#held.set(id, { subscription, release })
    this.#sender.flows.add(subscription)
    const { epoch } = subscription.channel
    this.#sender.reply({ id: requestId, type: 'subscribed', subscription: id, epoch, offset: from - 1, recovered })
    subscription.start()
  }

  heartbeat(): void {
    this.#sender.heartbeat()
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
    this.#sender.stop()
    clearTimeout(this.#authentication)
    for (const id of [...this.#held.keys()]) this.#drop(id)
    this.#context.observer.session(this.#encoding.name, -1)
    this.#ended()
  }

  get #busy(): boolean {
    const { requests, requestCharacters } = this.#context.limits
    return this.#requests >= requests || this.#requestCharacters >= requestCharacters
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
    const message = firstProblem(parsed.error)
    const id = requestId(value)
    if (id === undefined) this.badFrame(message)
    else this.#sender.reply({ id, type: 'error', code: 'bad_message', message, retry: false })
    return undefined
  }

  async #answer(message: ClientMessage): Promise<void> {
    try {
      if (message.type === 'authenticate') {
        await this.#authenticate(message.id, message.token)
        return
      }
      this.#requireAuthentication()
      if (message.type === 'subscribe') {
        if ('query' in message)
          throw new InvalidInput({ code: 'query_not_found', message: `There is no query "${message.query}".` })
        const { id, channel, filter, similar, since, conflate, maxRate } = message
        await this.subscribe(id, channel, { filter, similar, since, conflate, maxRate })
      } else if (message.type === 'unsubscribe') {
        this.#unsubscribe(message.id, message.subscription)
      } else if (message.type === 'publish') {
        const positions = await this.#context.publish(message.topic, message.events, message.key)
        this.#sender.reply({ id: message.id, type: 'published', positions })
      }
    } catch (error) {
      this.#sender.reply(this.#errorReply(message.id, error))
    }
  }

  #unsubscribe(id: number, subscription: string): void {
    if (!this.#drop(subscription)) {
      throw new InvalidInput({ code: 'subscription_not_found', message: `There is no subscription "${subscription}".` })
    }
    this.#sender.reply({ id, type: 'unsubscribed' })
  }

  async #authenticate(id: number, token: string): Promise<void> {
    try {
      const principal = await this.#context.authenticate(token)
      clearTimeout(this.#authentication)
      this.#principal = principal
      this.#sender.reply({ id, type: 'authenticated', expires: principal.expires, user: principal.id })
    } catch (error) {
      if (!(error instanceof Unauthenticated)) throw error
      this.#sender.reply(this.#errorReply(id, error))
      this.close(closeCodes.unauthenticated, error.code)
    }
  }

  #requireAuthentication(): void {
    if (this.#principal) return
    throw new Unauthenticated({
      code: 'unauthenticated',
      message: 'This server needs a token: send {"id":1,"type":"authenticate","token":"…"} first.',
    })
  }

  #expectToken(): void {
    const end = () => this.close(closeCodes.unauthenticated, 'no token was sent')
    this.#authentication = setTimeout(end, this.#context.limits.authenticateMs)
    this.#authentication.unref()
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
    const held = this.#held.get(id)
    if (!held) return false
    this.#held.delete(id)
    this.#sender.flows.delete(held.subscription)
    held.subscription.close()
    held.release()
    this.#context.observer.subscription(held.subscription.channel.name, -1)
    return true
  }
}

function tooManySubscriptions(limit: number): InvalidInput {
  return new InvalidInput({
    code: 'too_many_subscriptions',
    message: `A session may have ${limit} subscriptions. Unsubscribe from one, or open another connection.`,
  })
}

function requestId(value: unknown): number | undefined {
  if (typeof value !== 'object' || value === null || !('id' in value)) return undefined
  return typeof value.id === 'number' ? value.id : undefined
}
