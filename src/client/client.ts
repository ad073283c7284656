import type { JsonValue, PublishedPosition, QueryRow } from '../live/protocol.ts'
import { Addresses } from './addresses.ts'
import type { Transport } from './carrier.ts'
import { Connection, type ConnectionState } from './connection.ts'
import { MillraceClientError } from './errors.ts'
import { defaultOverlapMs, Follow, type FollowOptions } from './follow.ts'
import { Http } from './http.ts'
import { tell } from './listeners.ts'
import { LiveQuery, type LiveQueryOptions, type QueryParams } from './live-query.ts'
import type { WebSocketConstructor } from './socket.ts'
import { unacknowledged } from './socket-link.ts'
import type { Stream } from './stream.ts'
import { type SubscribeOptions, Subscription } from './subscription.ts'
import { type Token, Tokens } from './tokens.ts'

export interface ConnectOptions {
  /** A token, or what answers one: asked for at first, before it expires and when the server refuses the one it gave. */
  readonly token?: Token | undefined
  /**
   * `auto` (the default): a WebSocket, or server-sent events where there is none or it does not get through although HTTP
   * does. With server-sent events there are channels, but no live queries and no presence.
   */
  readonly transport?: Transport | undefined
  /** Where the platform has none, or another is wanted. */
  readonly WebSocket?: WebSocketConstructor | undefined
  readonly fetch?: typeof globalThis.fetch | undefined
}

export interface PublishOptions {
  /** JSON pointer to the key in each event. */
  readonly key?: string | undefined
  readonly signal?: AbortSignal | undefined
}

export interface SearchQuery {
  /** Exactly one of `text` and `vector`. */
  readonly text?: string
  readonly vector?: readonly number[]
  /** How many matches at most; 10 when left out. */
  readonly k?: number
  /** Condition on the fields, such as `{ category: { $eq: 'billing' } }`. */
  readonly filter?: Readonly<Record<string, JsonValue>>
  /** Least score. */
  readonly minScore?: number
  /** Also looks for the words of `text`. `weight`: how much they count beside its meaning, from 0 to 1. */
  readonly hybrid?: boolean | { readonly weight?: number }
  /**
   * Newer matches before older ones. `halfLife`: after which the part of the score that fades is half as much, in
   * milliseconds or such as `7d`; `weight`: how large that part is, from 0 to 1.
   */
  readonly recency?: { readonly halfLife: string | number; readonly weight?: number }
}

export interface SearchMatch {
  readonly id: string
  readonly score: number
  /** Cosine similarity, -1 to 1; the score, where neither words nor age were asked for. */
  readonly similarity: number
  /** How well the words fit, 0 to 1, in a hybrid search. */
  readonly words?: number
  readonly fields: Readonly<Record<string, string | number | boolean | null>>
  readonly timestamp: number
  readonly position: PublishedPosition
}

export interface QueryRows<Row = QueryRow> {
  readonly columns: readonly { readonly name: string; readonly type: string }[]
  readonly rows: readonly Row[]
}

/** What there is of a channel. */
export interface ChannelStatistics {
  readonly name: string
  readonly epoch: string
  /** Offset of the oldest event that is kept. */
  readonly first: number
  /** Offset that the next event will get. */
  readonly next: number
  /** How many are kept. */
  readonly events: number
  /** Events appended per second, over the last minute. */
  readonly rate: number
  /** Over all servers; left out for someone who does not see all of the channel. */
  readonly subscriptions?: number
  /** Sessions that are present, as far as the caller may know. */
  readonly members: number
}

/** Everything a page or a service needs of a Millrace server. Connects when something is subscribed to. */
export class Client {
  readonly #http: Http
  readonly #connection: Connection
  readonly #stateListeners = new Set<(state: ConnectionState, reason: string | undefined) => void>()

  constructor(address: string | URL | readonly (string | URL)[], options: ConnectOptions) {
    const { token, transport = 'auto', WebSocket, fetch = globalThis.fetch.bind(globalThis) } = options
    const addresses = new Addresses(address)
    const tokens = new Tokens(token)
    this.#http = new Http({ addresses, tokens, fetch })
    const stateChanged = (state: ConnectionState, reason: string | undefined) => {
      tell(this.#stateListeners, state, reason)
    }
    this.#connection = new Connection({ addresses, tokens, http: this.#http, transport, WebSocket, stateChanged })
  }

  /** Of the live connection. */
  get state(): ConnectionState {
    return this.#connection.state
  }

  /** `reason`: why the connection broke. Answers what takes the listener off again. */
  onState(listener: (state: ConnectionState, reason: string | undefined) => void): () => void {
    this.#stateListeners.add(listener)
    return () => this.#stateListeners.delete(listener)
  }

  /** The events of a channel as they come. */
  subscribe<Value = JsonValue>(channel: string, options: SubscribeOptions = {}): Subscription<Value> {
    return this.#open(new Subscription<Value>(channel, options, this.#connection))
  }

  /** The rows of a named query, kept up to date. */
  liveQuery<Row = QueryRow>(name: string, params: QueryParams = {}, options: LiveQueryOptions = {}): LiveQuery<Row> {
    return this.#open(new LiveQuery<Row>(name, params, options, this.#connection))
  }

  /** What a store has of a channel's events, and then each event that is not in it. */
  follow<Item, Value = JsonValue>(channel: string, options: FollowOptions<Item>): Follow<Item, Value> {
    const { snapshot, id, version, overlap: ago = defaultOverlapMs, ...subscription } = options
    const subscribe = () => this.subscribe<Value>(channel, { ...subscription, since: { ago } })
    return new Follow(subscribe, options)
  }

  /**
   * Appends events, all or none; answers when they are durable. Goes over the live connection if there is one, and else
   * over HTTP. Rejects with the code `unacknowledged` if the connection breaks before the answer has come: the events may
   * have been taken or not.
   */
  async publish(
    topic: string,
    events: JsonValue | readonly JsonValue[],
    { key, signal }: PublishOptions = {},
  ): Promise<readonly PublishedPosition[]> {
    signal?.throwIfAborted()
    const list = isList(events) ? events : [events]
    const sent = this.#connection.publish(topic, list, key)
    if (sent !== undefined) return signal ? unlessAborted(sent, signal) : sent
    const query = key === undefined ? '' : `?key=${encodeURIComponent(key)}`
    const path = `/v1/topics/${encodeURIComponent(topic)}/events${query}`
    try {
      return (await this.#http.post<{ positions: readonly PublishedPosition[] }>(path, list, signal, false)).positions
    } catch (error) {
      const unsure = error instanceof MillraceClientError && error.code === 'unreachable'
      throw unsure ? unacknowledged(error) : error
    }
  }

  async search(collection: string, query: SearchQuery, signal?: AbortSignal): Promise<readonly SearchMatch[]> {
    const path = `/v1/collections/${encodeURIComponent(collection)}/search`
    const { matches } = await this.#http.post<{ matches: readonly SearchMatch[] }>(path, query, signal)
    return matches
  }

  /** Read-only SQL; `params` fill `{name:Type}`. */
  query<Row = QueryRow>(sql: string, params: QueryParams = {}, signal?: AbortSignal): Promise<QueryRows<Row>> {
    return this.#http.post('/v1/query', { sql, params }, signal)
  }

  /** The rows of a named query as they are now. */
  runQuery<Row = QueryRow>(name: string, params: QueryParams = {}, signal?: AbortSignal): Promise<QueryRows<Row>> {
    return this.#http.post(`/v1/queries/${encodeURIComponent(name)}`, { params }, signal)
  }

  async channel(name: string, signal?: AbortSignal): Promise<ChannelStatistics> {
    const response = await this.request(`/v1/channels/${encodeURIComponent(name)}`, signal ? { signal } : {})
    // The server is trusted to answer as it describes.
    return JSON.parse(await response.text())
  }

  /** Any other call. Throws `MillraceClientError` with what the server says is wrong, or `unreachable`. */
  request(path: string, init: RequestInit = {}): Promise<Response> {
    return this.#http.request(path, init, (init.method ?? 'GET').toUpperCase() === 'GET')
  }

  /** Ends every subscription. */
  close(): void {
    this.#connection.close()
  }

  #open<Opened extends Stream>(stream: Opened): Opened {
    if (this.state !== 'closed') this.#connection.subscribe(stream)
    else stream.fail(new MillraceClientError({ code: 'closed', message: 'The client is closed.' }))
    return stream
  }
}

function isList(events: JsonValue | readonly JsonValue[]): events is readonly JsonValue[] {
  return Array.isArray(events)
}

function unlessAborted<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
