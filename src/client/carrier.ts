import { MillraceClientError } from './errors.ts'
import type { Http } from './http.ts'
import { findWebSocket, type WebSocketConstructor } from './socket.ts'

export type Transport = 'auto' | 'websocket' | 'sse'

export interface CarrierOptions {
  readonly transport: Transport
  readonly WebSocket: WebSocketConstructor | undefined
  readonly http: Http
}

/** From so many on a proxy may be the reason, which lets only HTTP through. */
const suspicious = 2

/** Chooses what carries the next connection: a WebSocket, or server-sent events where that cannot be had. */
export class Carrier {
  readonly #options: CarrierOptions
  /** Attempts in a row that came to nothing. */
  #failures = 0
  /** Whether HTTP answered before the last of them: a server that was down for a moment is no reason. */
  #httpAnswered = false
  #chosen: WebSocketConstructor | undefined

  constructor(options: CarrierOptions) {
    this.#options = options
  }

  /** Undefined for server-sent events. Throws `MillraceClientError` if there has to be a WebSocket and is none. */
  async choose(): Promise<WebSocketConstructor | undefined> {
    const { transport, WebSocket, http } = this.#options
    if (transport === 'sse') return undefined
    this.#chosen = await findWebSocket(WebSocket)
    if (transport === 'websocket') {
      if (this.#chosen) return this.#chosen
      const message = 'This platform has no WebSocket: give connect() one, or let it use server-sent events.'
      throw new MillraceClientError({ code: 'no_websocket', message })
    }
    if (this.#failures < suspicious) return this.#chosen
    const before = this.#httpAnswered
    this.#httpAnswered = await http.answers()
    if (before && this.#httpAnswered) this.#chosen = undefined
    return this.#chosen
  }

  failed(): void {
    this.#failures++
  }

  /** After server-sent events a WebSocket is tried once more. */
  opened(): void {
    this.#failures = this.#chosen ? 0 : suspicious
    this.#httpAnswered = false
  }
}
