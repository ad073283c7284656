import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import { deflateEncoding, type Encoding, type Transport, webSocketEncoding } from '../live/index.ts'

/** How long a client is waited for that does not answer the close. */
const closeMs = 2_000

/**
 * Writes whole frames straight to the socket, past `ws`, which would make a header for each client and leave the payload
 * beside it. `ws` keeps all else: the handshake, what is received, pings, pongs and closing. It writes these synchronously,
 * for it never compresses, so that its frames and ours do not get mixed up.
 */
export class WebSocketTransport implements Transport {
  readonly #client: WebSocket
  readonly #socket: Duplex

  constructor(client: WebSocket, socket: Duplex) {
    this.#client = client
    this.#socket = socket
  }

  get encoding(): Encoding {
    return this.#client.extensions.includes('permessage-deflate') ? deflateEncoding : webSocketEncoding
  }

  get buffered(): number {
    return this.#socket.writableLength
  }

  send(frame: Uint8Array, taken: () => void): void {
    // After a close frame, ours or the answer to the client's, nothing may follow.
    if (this.#client.readyState === this.#client.OPEN) this.#socket.write(frame, taken)
  }

  pause(): void {
    this.#client.pause()
  }

  resume(): void {
    this.#client.resume()
  }

  close(code: number, reason: string): void {
    this.#client.close(code, reason)
    setTimeout(() => this.#client.terminate(), closeMs).unref()
  }
}

/**
 * What is negotiated: each message is deflated by itself, so that one frame fits everyone and nothing has to be kept for a
 * connection in between.
 */
export const deflateOptions = { serverNoContextTakeover: true, clientNoContextTakeover: true } as const

/** A window of 1 kB, for a client that leaves it to the server: inflating what it sends takes memory while it is connected. */
const clientWindowBits = 10

/**
 * Of the offers in a `Sec-WebSocket-Extensions` header those that can be taken, with a small window wherever the client
 * leaves it to the server; undefined if there are none. Frames that all share are deflated with the largest window, so
 * that a client that can only have a smaller one gets them as they are.
 */
export function acceptableOffers(header: string): string | undefined {
  const offers = header.split(',').filter((offer) => !offer.includes('server_max_window_bits'))
  if (offers.length === 0) return undefined
  return offers
    .join(',')
    .replace(/client_max_window_bits(?=\s*(?:[;,]|$))/g, `client_max_window_bits=${clientWindowBits}`)
}
