import { once } from 'node:events'
import { type ClientOptions, WebSocket } from 'ws'

/** A bare client: what comes is kept in order. */
export class Socket {
  readonly raw: WebSocket
  readonly received: Record<string, unknown>[] = []
  closed: { code: number; reason: string } | undefined
  #wake: () => void = () => undefined

  private constructor(raw: WebSocket) {
    this.raw = raw
    raw.on('message', (data) => {
      this.received.push(JSON.parse(String(data)))
      this.#wake()
    })
    raw.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() }
      this.#wake()
    })
    raw.on('error', () => undefined)
  }

  static async open(
    address: string,
    options: { headers?: Record<string, string>; path?: string; client?: ClientOptions } = {},
  ): Promise<Socket> {
    const url = `${address.replace('http', 'ws')}${options.path ?? '/v1/live'}`
    const socket = new Socket(new WebSocket(url, 'millrace.v1', { headers: options.headers ?? {}, ...options.client }))
    await once(socket.raw, 'open')
    return socket
  }

  send(message: unknown): void {
    this.raw.send(JSON.stringify(message))
  }

  /** The first message that fits, taken out; waits for it. */
  async next(fits: (message: Record<string, unknown>) => boolean): Promise<Record<string, unknown>> {
    for (;;) {
      const index = this.received.findIndex(fits)
      const [found] = index < 0 ? [] : this.received.splice(index, 1)
      if (found) return found
      if (this.closed) throw new Error(`closed with ${this.closed.code} ${this.closed.reason}`)
      await this.#change()
    }
  }

  reply(id: number | null): Promise<Record<string, unknown>> {
    return this.next((message) => message.id === id)
  }

  ofType(type: string): Promise<Record<string, unknown>> {
    return this.next((message) => message.type === type)
  }

  async whenClosed(): Promise<{ code: number; reason: string }> {
    while (!this.closed) await this.#change()
    return this.closed
  }

  close(): void {
    this.raw.terminate()
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }
}
