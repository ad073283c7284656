import type { Audit } from '../core/audit.ts'
import { Retryable } from '../core/errors.ts'
import type { Principal } from '../core/principal.ts'
import { type Encoding, sseEncoding, webSocketEncoding } from './encoding.ts'
import { Hub, type HubOptions } from './hub.ts'
import { defaultLiveLimits, type LiveLimits } from './limits.ts'
import { closeCodes, type SubscribeOptions } from './protocol.ts'
import type { LiveObserver, Transport } from './sender.ts'
import { type Caller, type Publish, Session } from './session.ts'

export interface LiveOptions extends HubOptions {
  readonly publish: Publish
  readonly authenticate: (token: string) => Promise<Principal>
  readonly audit?: Audit | undefined
  readonly observer?: LiveObserver | undefined
  readonly limits?: Partial<LiveLimits> | undefined
}

/** All live sessions of the process. */
export class Live {
  readonly limits: LiveLimits
  readonly #options: LiveOptions
  readonly #hub: Hub
  readonly #sessions = new Set<Session>()
  readonly #heartbeat: NodeJS.Timeout
  readonly #closing = new AbortController()

  constructor(options: LiveOptions) {
    this.#options = options
    this.limits = { ...defaultLiveLimits, ...options.limits }
    this.#hub = new Hub(options)
    this.#heartbeat = setInterval(() => {
      for (const session of this.#sessions) session.heartbeat()
    }, this.limits.heartbeatMs)
    this.#heartbeat.unref()
  }

  /** Fires when the server begins to close: streams that are no sessions end with it too. */
  get closing(): AbortSignal {
    return this.#closing.signal
  }

  /** A WebSocket client. Hand its frames to `receive`, and call `disconnected` when it is gone. */
  open(transport: Transport, caller: Caller): Session {
    const session = this.#add(transport, webSocketEncoding, caller)
    if (this.closing.aborted) session.close(closeCodes.goingAway, 'shutting down')
    else if (this.#sessions.size > this.limits.sessions) session.close(closeCodes.overloaded, 'too many sessions')
    return session
  }

  /**
   * A client that only listens, with one subscription: server-sent events. Throws as `Hub.subscribe` does, and
   * `Retryable` (`overloaded`) when there are as many sessions as are allowed.
   */
  async listen(transport: Transport, caller: Caller, channel: string, options: SubscribeOptions): Promise<Session> {
    if (this.closing.aborted || this.#sessions.size >= this.limits.sessions) {
      throw new Retryable({ code: 'overloaded', message: 'The server takes no more live sessions at present.' })
    }
    const session = this.#add(transport, sseEncoding, caller)
    try {
      await session.subscribe(0, channel, options)
      return session
    } catch (error) {
      session.disconnected()
      throw error
    }
  }

  /** Tells every client to come back later, and stops reading. */
  async close(): Promise<void> {
    this.#closing.abort()
    clearInterval(this.#heartbeat)
    for (const session of [...this.#sessions]) session.close(closeCodes.goingAway, 'shutting down')
    await this.#hub.close()
  }

  #add(transport: Transport, encoding: Encoding, caller: Caller): Session {
    const { publish, authenticate, audit = () => {}, observer = silentObserver, logger } = this.#options
    const context = { hub: this.#hub, publish, authenticate, audit, limits: this.limits, observer, logger }
    const session: Session = new Session(transport, encoding, context, caller, () => this.#sessions.delete(session))
    this.#sessions.add(session)
    return session
  }
}

const silentObserver: LiveObserver = {
  session: () => undefined,
  subscription: () => undefined,
  delivered: () => undefined,
  skipped: () => undefined,
  closed: () => undefined,
}
