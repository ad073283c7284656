import type { JsonValue, PublishedPosition, SubscribeOptions } from '../live/protocol.ts'
import { Connection, type ConnectionState } from './connection.ts'
import { type ErrorDetails, MillraceClientError } from './errors.ts'
import type { WebSocketConstructor } from './socket.ts'
import type { Subscription } from './subscription.ts'

export interface ConnectOptions {
  readonly token?: string | undefined
  /** Where the platform has none, or another is wanted. */
  readonly WebSocket?: WebSocketConstructor | undefined
  readonly fetch?: typeof globalThis.fetch | undefined
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

export interface QueryRows {
  readonly columns: readonly { readonly name: string; readonly type: string }[]
  readonly rows: readonly Readonly<Record<string, JsonValue>>[]
}

/** Everything a page or a service needs of a Millrace server. Connects when something is subscribed to. */
export class Client {
  readonly #address: string
  readonly #token: string | undefined
  readonly #fetch: typeof globalThis.fetch
  readonly #connection: Connection
  readonly #stateListeners = new Set<(state: ConnectionState) => void>()

  constructor(address: string | URL, { token, WebSocket, fetch = globalThis.fetch.bind(globalThis) }: ConnectOptions) {
    this.#address = String(address).replace(/\/+$/, '')
    this.#token = token
    this.#fetch = fetch
    const url = `${this.#address.replace(/^http/, 'ws')}/v1/live`
    this.#connection = new Connection({ url, token, WebSocket }, (state) => {
      for (const listener of this.#stateListeners) listener(state)
    })
  }

  /** Of the live connection. */
  get state(): ConnectionState {
    return this.#connection.state
  }

  onState(listener: (state: ConnectionState) => void): () => void {
    this.#stateListeners.add(listener)
    return () => this.#stateListeners.delete(listener)
  }

  subscribe(channel: string, options: SubscribeOptions = {}): Subscription {
    return this.#connection.open(channel, options)
  }

  /** Appends events, all or none; answers when they are durable. `key` is a JSON pointer into each event. */
  async publish(
    topic: string,
    events: JsonValue | readonly JsonValue[],
    { key, signal }: { readonly key?: string; readonly signal?: AbortSignal } = {},
  ): Promise<readonly PublishedPosition[]> {
    const query = key === undefined ? '' : `?key=${encodeURIComponent(key)}`
    const body = Array.isArray(events) ? events : [events]
    const path = `/v1/topics/${encodeURIComponent(topic)}/events${query}`
    const { positions } = await this.#post<{ positions: readonly PublishedPosition[] }>(path, body, signal)
    return positions
  }

  async search(collection: string, query: SearchQuery, signal?: AbortSignal): Promise<readonly SearchMatch[]> {
    const path = `/v1/collections/${encodeURIComponent(collection)}/search`
    const { matches } = await this.#post<{ matches: readonly SearchMatch[] }>(path, query, signal)
    return matches
  }

  /** Read-only SQL; `params` fill `{name:Type}`. */
  query(sql: string, params: Readonly<Record<string, JsonValue>> = {}, signal?: AbortSignal): Promise<QueryRows> {
    return this.#post('/v1/query', { sql, params }, signal)
  }

  /** Any other call. Throws `MillraceClientError` with what the server says is wrong. */
  async request(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers)
    if (this.#token !== undefined) headers.set('authorization', `Bearer ${this.#token}`)
    const response = await this.#fetch(this.#address + path, { ...init, headers })
    if (!response.ok) throw await problem(response)
    return response
  }

  /** Ends every subscription. */
  close(): void {
    this.#connection.close()
  }

  async #post<Answer>(path: string, body: unknown, signal: AbortSignal | undefined): Promise<Answer> {
    const headers = { 'content-type': 'application/json' }
    const init = { method: 'POST', headers, body: JSON.stringify(body), ...(signal ? { signal } : {}) }
    // The server is trusted to answer as it describes.
    return JSON.parse(await (await this.request(path, init)).text())
  }
}

async function problem(response: Response): Promise<MillraceClientError> {
  const { status } = response
  const { detail, code, hint, errors } = parseProblem(await response.text())
  const message = detail ?? `The server answered ${status}.`
  return new MillraceClientError({ status, message, code: code ?? `http_${status}`, hint, errors })
}

function parseProblem(text: string): Partial<ErrorDetails> & { readonly detail?: string } {
  try {
    return JSON.parse(text) ?? {}
  } catch {
    return {}
  }
}
