import type { WebSocketConstructor, WebSocketLike } from '../../src/client/index.ts'
import type { ClientMessage, ServerMessage } from '../../src/live/protocol.ts'

type Listener = (event: { data: unknown; code: number; reason: string }) => void

/** The server's end of a connection. */
export interface FakeConnection {
  readonly url: string
  readonly received: ClientMessage[]
  send(message: ServerMessage): void
  /** The network, or the server, ends it. */
  break(code?: number, reason?: string): void
  readonly over: boolean
}

/**
 * Stands where the answers of a real server cannot be chosen: it says what the test wants, over sockets that open, answer
 * and break when the test says so.
 */
export class FakeServer {
  readonly connections: FakeConnection[] = []
  /** Addresses that cannot be reached. */
  readonly down = new Set<string>()
  answer: (message: ClientMessage, connection: FakeConnection) => void = () => undefined

  get open(): FakeConnection[] {
    return this.connections.filter(({ over }) => !over)
  }

  get last(): FakeConnection {
    const last = this.connections.at(-1)
    if (!last) throw new Error('nobody has connected')
    return last
  }

  get WebSocket(): WebSocketConstructor {
    const server = this
    return class implements WebSocketLike {
      readonly #listeners = new Map<string, Set<Listener>>()
      #over = false
      readonly connection: FakeConnection

      constructor(url: string) {
        const socket = this
        this.connection = {
          url,
          received: [],
          get over() {
            return socket.#over
          },
          send: (message) => queueMicrotask(() => socket.#tell('message', { data: JSON.stringify(message) })),
          break: (code = 1006, reason = '') => socket.#end(code, reason),
        }
        const reachable = ![...server.down].some((address) => url.startsWith(address.replace('http', 'ws')))
        if (reachable) server.connections.push(this.connection)
        queueMicrotask(() => (reachable ? this.#tell('open') : this.#end(1006, '')))
      }

      addEventListener(type: string, listener: Listener): void {
        const listeners = this.#listeners.get(type) ?? new Set()
        this.#listeners.set(type, listeners.add(listener))
      }

      send(data: string): void {
        if (this.#over) return
        const message: ClientMessage = JSON.parse(data)
        this.connection.received.push(message)
        queueMicrotask(() => this.#over || server.answer(message, this.connection))
      }

      close(code = 1005): void {
        this.#end(code, '')
      }

      #end(code: number, reason: string): void {
        if (this.#over) return
        this.#over = true
        queueMicrotask(() => this.#tell('close', { code, reason }, true))
      }

      #tell(type: string, event: Partial<Parameters<Listener>[0]> = {}, late = false): void {
        if (this.#over && !late) return
        const given = { data: undefined, code: 0, reason: '', ...event }
        for (const listener of this.#listeners.get(type) ?? []) listener(given)
      }
    }
  }
}

/** Resolves when everything that is under way without a timer has happened. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await Promise.resolve()
}
