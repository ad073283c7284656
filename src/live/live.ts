import type { Audit } from '../core/audit.ts'
import { Retryable } from '../core/errors.ts'
import type { Presence } from '../core/presence.ts'
import type { Principal } from '../core/principal.ts'
import { Queries } from '../queries/index.ts'
import { ChannelPresence } from './channel-presence.ts'
import { type Encoding, jsonEncoding, sseEncoding } from './encoding.ts'
import { Hub, type HubOptions } from './hub.ts'
import { defaultLiveLimits, type LiveLimits } from './limits.ts'
import { LiveQueries } from './live-queries.ts'
import { LocalPresence } from './local-presence.ts'
import { closeCodes, type SubscribeOptions } from './protocol.ts'
import { reconnectAfter } from './reconnect.ts'
import type { LiveObserver, Transport } from './sender.ts'
import { type Caller, type Publish, Session } from './session.ts'
import { Slices } from './slices.ts'

export interface LiveOptions extends Omit<HubOptions, 'standingQueries'> {
  readonly publish: Publish
  readonly authenticate: (token: string) => Promise<Principal>
  readonly audit?: Audit | undefined
  /** Those that clients may subscribe to by name. Default: none. */
  readonly queries?: Queries | undefined
  /** Default: of this process alone. */
  readonly presence?: (() => Promise<Presence>) | undefined
  readonly observer?: LiveObserver | undefined
  readonly limits?: Partial<LiveLimits> | undefined
}

/** Of all sessions, how many may have shown no token yet. */
const strangersShare = 1 / 4

/** All live sessions of the process. */
export class Live {
  readonly limits: LiveLimits
  readonly #options: LiveOptions
  readonly #hub: Hub
  readonly #presence: ChannelPresence
  readonly #queries: LiveQueries
  readonly #sessions = new Set<Session>()
  readonly #byAddress = new Map<string, number>()
  /** Sessions that came without a token; some may have shown one since. */
  readonly #strangers = new Set<Session>()
  readonly #heartbeat: NodeJS.Timeout
  readonly #closing = new AbortController()
  /** How many sessions there were when the server began to close. */
  #leaving = 0

  constructor(options: LiveOptions) {
    this.#options = options
    this.limits = { ...defaultLiveLimits, ...options.limits }
    const local = new LocalPresence()
    this.#presence = new ChannelPresence(options.presence ?? (async () => local), options.logger)
    const queries = options.queries ?? new Queries([], () => Promise.reject(new Error('there are no queries')))
    this.#queries = new LiveQueries(queries, this.limits, options.logger)
    this.#hub = new Hub({ ...options, standingQueries: this.limits.standingQueries })
    this.#heartbeat = setInterval(() => void this.#heartbeats(), this.limits.heartbeatMs)
    this.#heartbeat.unref()
  }

  /** Fires when the server begins to close: streams that are no sessions end with it too. */
  get closing(): AbortSignal {
    return this.#closing.signal
  }

  /**
   * A WebSocket client. Hand its frames to `receive`, and call `disconnected` when it is gone. `encoding`: what the
   * transport takes, if it does not make frames of messages itself.
   */
  open(transport: Transport, caller: Caller, encoding: Encoding = jsonEncoding): Session {
    const refusal = this.#refusal(caller)
    const session = this.#add(transport, encoding, caller)
    if (refusal) session.close(...refusal)
    return session
  }

  /** Who is on the channels. */
  presence(): Promise<Presence> {
    return this.#presence.presence()
  }

  /**
   * A client that only listens, with one subscription: server-sent events. Throws as `Hub.subscribe` does, and
   * `Retryable` (`overloaded`) when there are as many sessions as are allowed.
   */
  async listen(transport: Transport, caller: Caller, channel: string, options: SubscribeOptions): Promise<Session> {
    if (this.#refusal(caller)) {
      const delayMs = this.#reconnectAfter()
      throw new Retryable({
        code: 'overloaded',
        message: 'The server takes no more live sessions at present.',
        delayMs,
      })
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

  /** Tells every client when to come back, a few at a time, and stops reading. */
  async close(): Promise<void> {
    this.#closing.abort()
    clearInterval(this.#heartbeat)
    const sessions = [...this.#sessions]
    this.#leaving = sessions.length
    const slices = new Slices()
    for (const session of sessions) {
      session.close(closeCodes.goingAway, 'shutting down')
      if (slices.over) await slices.pause()
    }
    this.#presence.close()
    await Promise.all([this.#hub.close(), this.#queries.close()])
  }

  /** In slices, for there may be thousands. */
  async #heartbeats(): Promise<void> {
    const slices = new Slices()
    for (const session of [...this.#sessions]) {
      session.heartbeat()
      if (slices.over) await slices.pause()
    }
  }

  /** Why another session is not let in, as its close code. */
  #refusal({ address, principal }: Caller): [code: number, reason: string] | undefined {
    const { sessions, sessionsPerAddress = sessions } = this.limits
    if (this.closing.aborted) return [closeCodes.goingAway, 'shutting down']
    if (this.#sessions.size >= sessions) return [closeCodes.overloaded, 'too many sessions']
    if (address !== undefined && (this.#byAddress.get(address) ?? 0) >= sessionsPerAddress) {
      return [closeCodes.overloaded, 'too many sessions of this address']
    }
    if (principal === undefined && this.#isFullOfStrangers()) {
      return [closeCodes.overloaded, 'too many sessions without a token']
    }
    return undefined
  }

  /** Whoever shows no token takes no more than a share of the places, so that others find one. */
  #isFullOfStrangers(): boolean {
    const most = this.limits.sessions * strangersShare
    if (this.#strangers.size < most) return false
    for (const session of this.#strangers) if (session.recognised) this.#strangers.delete(session)
    return this.#strangers.size >= most
  }

  readonly #reconnectAfter = (): number => reconnectAfter(Math.max(this.#leaving, this.#sessions.size))

  #add(transport: Transport, encoding: Encoding, caller: Caller): Session {
    const { publish, authenticate, audit = () => {}, observer = silentObserver, logger } = this.#options
    const { limits } = this
    const context = {
      hub: this.#hub,
      presence: this.#presence,
      queries: this.#queries,
      publish,
      authenticate,
      audit,
      limits,
      observer,
      logger,
    }
    const session: Session = new Session(
      transport,
      encoding,
      { ...context, reconnectAfter: this.#reconnectAfter },
      caller,
      () => {
        this.#sessions.delete(session)
        this.#strangers.delete(session)
        this.#count(caller, -1)
      },
    )
    this.#sessions.add(session)
    if (!session.recognised) this.#strangers.add(session)
    this.#count(caller, 1)
    return session
  }

  #count({ address }: Caller, change: 1 | -1): void {
    if (address === undefined) return
    const count = (this.#byAddress.get(address) ?? 0) + change
    if (count > 0) this.#byAddress.set(address, count)
    else this.#byAddress.delete(address)
  }
}

const silentObserver: LiveObserver = {
  session: () => undefined,
  subscription: () => undefined,
  member: () => undefined,
  delivered: () => undefined,
  skipped: () => undefined,
  closed: () => undefined,
}
