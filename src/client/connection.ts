import { closeCodes, heartbeatMs, type JsonValue, type PublishedPosition, shouldReconnect } from '../live/protocol.ts'
import type { Addresses } from './addresses.ts'
import { reconnectDelay } from './backoff.ts'
import { Carrier, type CarrierOptions } from './carrier.ts'
import { MillraceClientError } from './errors.ts'
import { EventStreamLink } from './event-stream-link.ts'
import { broken, type Link, type LinkOwner, type Refusal } from './link.ts'
import { isOffline } from './platform.ts'
import { Renewal } from './renewal.ts'
import { SocketLink } from './socket-link.ts'
import type { Feed, Stream } from './stream.ts'
import type { Tokens } from './tokens.ts'
import { Watch } from './watch.ts'

/**
 * `waiting`: until the next attempt. `offline`: the platform says that it has no network; the next attempt is when it has
 * one again.
 */
export type ConnectionState = 'idle' | 'connecting' | 'open' | 'waiting' | 'offline' | 'closed'

export interface ConnectionOptions extends CarrierOptions {
  readonly addresses: Addresses
  readonly tokens: Tokens
  readonly stateChanged: (state: ConnectionState, reason: string | undefined) => void
}

type Timer = ReturnType<typeof setTimeout>

/** Nothing for so long, not even a heartbeat: the connection is dead, whatever the platform says. */
const silenceMs = heartbeatMs * 2.5
/** A heartbeat is late. */
const lateMs = heartbeatMs * 1.25
const openingMs = 15_000
/** How long a connection that is asked for a sign of life has for it. */
const probeMs = 5_000

/**
 * One link for all subscriptions: opened with the first, closed after the last, and opened again when it breaks.
 *
 *   idle --[subscribe]--> connecting --[opened]--> open --[break]--> waiting --[delay]--> connecting
 *   waiting --[no network]--> offline --[network]--> connecting
 *   any --[last unsubscribe]--> idle; any --[close]--> closed
 */
export class Connection implements Feed {
  readonly #options: ConnectionOptions
  readonly #carrier: Carrier
  readonly #streams = new Set<Stream>()
  readonly #retries = new Map<Stream, Timer>()
  readonly #renewal: Renewal
  readonly #watch = new Watch({
    look: (now) => this.#look(now),
    woken: () => this.#woken(),
    lostNetwork: () => this.#lostNetwork(),
  })
  #state: ConnectionState = 'idle'
  #link: Link | undefined
  /** Distinguishes attempts: what an earlier one still does counts no more. */
  #round = 0
  #attempt = 0
  #advice: number | undefined
  #token: string | undefined
  /** The server has refused a token, and another was asked for. */
  #renewed = false
  #heard = 0
  #timer: Timer | undefined

  constructor(options: ConnectionOptions) {
    this.#options = options
    this.#carrier = new Carrier(options)
    this.#renewal = new Renewal(options.tokens, (token) => {
      this.#token = token
      this.#link?.renew(token)
    })
  }

  get state(): ConnectionState {
    return this.#state
  }

  subscribe(stream: Stream): void {
    // What was held back while the others ended does not come back.
    if (this.#state === 'closed') stream.close()
    else this.#streams.add(stream)
    if (this.#state === 'open') this.#link?.ask(stream)
    else if (this.#state === 'idle') void this.#connect()
  }

  unsubscribe(stream: Stream): void {
    this.#streams.delete(stream)
    this.#stopRetry(stream)
    this.#link?.drop(stream)
    // One that is only held back comes back; one that is closed does not.
    if (this.#streams.size === 0 && stream.closed) this.#disconnect('idle')
  }

  restart(stream: Stream): void {
    if (this.#state !== 'open') return
    this.#link?.drop(stream)
    this.#link?.ask(stream)
  }

  present(stream: Stream, state: JsonValue): Promise<void> {
    if (this.#state !== 'open' || !this.#link) return Promise.resolve()
    return this.#link.present(stream, state)
  }

  /** Undefined if there is no open connection that it could go over. */
  publish(
    topic: string,
    events: readonly JsonValue[],
    key: string | undefined,
  ): Promise<readonly PublishedPosition[]> | undefined {
    return this.#state === 'open' ? this.#link?.publish?.(topic, events, key) : undefined
  }

  close(): void {
    for (const stream of [...this.#streams]) stream.close()
    this.#disconnect('closed')
  }

  async #connect(): Promise<void> {
    this.#forget()
    const round = this.#round
    const { tokens, addresses } = this.#options
    this.#heard = Date.now()
    this.#become('connecting')
    this.#watch.start()
    let token: string | undefined
    try {
      token = await tokens.current()
    } catch (error) {
      if (round === this.#round) this.#wait(messageOf(error))
      return
    }
    if (round !== this.#round) return
    this.#token = token
    if (token === '') this.#refuse({ code: 'unauthenticated', message: 'There is no token.' })
    else await this.#open(round, addresses.current)
  }

  async #open(round: number, address: string): Promise<void> {
    try {
      const WebSocket = await this.#carrier.choose()
      if (round !== this.#round) return
      const owner = this.#owner(round, address)
      this.#link = WebSocket
        ? new SocketLink(WebSocket, `${address.replace(/^http/, 'ws')}/v1/live`, this.#token, owner)
        : new EventStreamLink(this.#options.http, owner)
    } catch (error) {
      if (round !== this.#round) return
      const code = error instanceof MillraceClientError ? error.code : 'cannot_connect'
      this.#refuse({ code, message: messageOf(error) })
    }
  }

  #owner(round: number, address: string): LinkOwner {
    const current =
      <Given extends unknown[]>(act: (...given: Given) => void) =>
      (...given: Given) => {
        if (round === this.#round) act(...given)
      }
    return {
      opened: current(() => this.#opened()),
      heard: current(() => {
        this.#heard = Date.now()
      }),
      accepted: current(() => {
        this.#attempt = 0
      }),
      refused: current((stream, refusal) => this.#refused(stream, refusal)),
      advised: current((after) => {
        this.#advice = after
      }),
      authenticated: current((until) => this.#authenticated(until)),
      notRenewed: current((refusal) => this.#notRenewed(refusal)),
      closed: current((code, reason) => this.#closed(code, reason, address)),
    }
  }

  #opened(): void {
    this.#carrier.opened()
    this.#become('open')
    for (const stream of [...this.#streams]) this.#link?.ask(stream)
  }

  #refused(stream: Stream, { code, message, retry, status }: Refusal): void {
    if (retry) {
      const again = () => {
        this.#retries.delete(stream)
        if (this.#state === 'open') this.#link?.ask(stream)
      }
      this.#retries.set(stream, setTimeout(again, reconnectDelay(this.#attempt++)))
      return
    }
    stream.fail(new MillraceClientError({ code, message, status }))
  }

  #authenticated(until: number | null): void {
    this.#renewed = false
    this.#renewal.start(until)
  }

  #notRenewed({ code, message }: Refusal): void {
    // The page's user is another one: what is subscribed to has to be asked for in that one's name.
    if (code === 'other_user') this.#breakOff(message)
  }

  #closed(code: number, reason: string, address: string): void {
    const refused = code === closeCodes.unauthenticated
    if ((refused || code === closeCodes.tokenExpired) && this.#options.tokens.renewable && !this.#renewed) {
      this.#renewed = refused
      void this.#connectWithAnotherToken()
      return
    }
    if (!shouldReconnect(code)) {
      const message = `The server closed the connection: ${reason || code}.`
      this.#refuse({ code: 'connection_refused', message, status: code })
      return
    }
    if (this.#state === 'connecting' && code === broken) this.#carrier.failed()
    this.#options.addresses.leave(address)
    this.#wait(reason || `closed with ${code}`)
  }

  async #connectWithAnotherToken(): Promise<void> {
    this.#forget()
    const round = this.#round
    this.#heard = Date.now()
    this.#become('connecting')
    try {
      await this.#options.tokens.renew(this.#token)
    } catch {
      // It is asked for again with the next attempt.
    }
    if (round === this.#round) void this.#connect()
  }

  #wait(reason: string): void {
    const delay = this.#advice ?? reconnectDelay(this.#attempt++)
    this.#advice = undefined
    this.#forget()
    const offline = isOffline()
    this.#become(offline ? 'offline' : 'waiting', reason)
    if (!offline) this.#timer = setTimeout(() => void this.#connect(), delay)
  }

  /** Ends every subscription: trying again cannot help. */
  #refuse(why: { readonly code: string; readonly message: string; readonly status?: number }): void {
    const failed = [...this.#streams]
    this.#disconnect('idle')
    for (const stream of failed) stream.fail(new MillraceClientError(why))
  }

  /** As if the connection had broken by itself. */
  #breakOff(reason: string): void {
    const link = this.#link
    this.#closed(broken, reason, this.#options.addresses.current)
    link?.close()
  }

  #disconnect(state: 'idle' | 'closed'): void {
    const link = this.#link
    this.#forget()
    this.#streams.clear()
    this.#watch.stop()
    link?.close()
    this.#become(state)
  }

  /** Whatever the link still says is not heard, and nothing more is asked of it. */
  #forget(): void {
    this.#round++
    this.#link = undefined
    clearTimeout(this.#timer)
    this.#renewal.stop()
    for (const stream of [...this.#retries.keys()]) this.#stopRetry(stream)
  }

  #stopRetry(stream: Stream): void {
    clearTimeout(this.#retries.get(stream))
    this.#retries.delete(stream)
  }

  #look(now: number): void {
    const silent = now - this.#heard
    if (this.#state === 'open' && silent > silenceMs) this.#breakOff('silence')
    else if (this.#state === 'connecting' && silent > openingMs) this.#breakOff('no answer')
    else if (this.#state === 'offline' && !isOffline()) this.#woken()
  }

  #woken(): void {
    if (this.#state === 'waiting' || this.#state === 'offline') void this.#connect()
    else if (this.#state === 'open') this.#probe()
  }

  #lostNetwork(): void {
    if (this.#state === 'open') this.#probe()
    else if (this.#state === 'waiting') {
      clearTimeout(this.#timer)
      this.#become('offline', 'no network')
    }
  }

  #probe(): void {
    const round = this.#round
    const asked = Date.now()
    const judge = () => {
      if (round === this.#round && this.#heard < asked) this.#breakOff('no sign of life')
    }
    if (this.#link?.probe()) setTimeout(judge, probeMs)
    else if (asked - this.#heard > lateMs) this.#breakOff('silence')
  }

  #become(state: ConnectionState, reason?: string): void {
    if (this.#state === state || this.#state === 'closed') return
    this.#state = state
    this.#options.stateChanged(state, reason)
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
