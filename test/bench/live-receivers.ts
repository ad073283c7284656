import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { parse } from 'node:querystring'

/*
 * Clients of a benchmark in a process of their own: plain sockets that read WebSocket frames and look at no more of them
 * than they must, so that they take little of the machine from what is measured. Started with `port`, `clients` and
 * `subscribe` (a channel, or nothing); `stalled` of them read nothing once they are subscribed. Tells its parent when all
 * are there, and from then on, every 100 ms, what has come.
 */
export interface Received {
  /** Events, over all clients, and the frames they came in. */
  readonly events: number
  readonly frames: number
  readonly bytes: number
  /** Events that were left out between others. */
  readonly missed: number
  /** Monotonic time, milliseconds. */
  readonly at: number
  /** Milliseconds from the time in `value.sent` to the arrival, of the last event of each frame of some clients. */
  readonly delays: readonly number[]
}
export type ReceiverMessage = { readonly open: number } | Received

const { port = '', clients = '0', subscribe = '', stalled = '0' } = parse(process.argv[2] ?? '')
const host = '127.0.0.1'
/** Of how many clients one looks at the delay. */
const watchEvery = 20
const connecting = 100
const everyMs = 100

let events = 0
let frames = 0
let bytes = 0
let missed = 0
let delays: number[] = []
const offsetMark = Buffer.from('"offset":')
const sentMark = Buffer.from('"sent":')
/** No event of the benchmarks is shorter. */
const leastLength = 100

/** One client. All share a buffer that the network is read into; what is left of a frame at its end is copied. */
class Client {
  readonly #watched: boolean
  #rest: Buffer = Buffer.alloc(0)
  #next = -1

  constructor(watched: boolean) {
    this.#watched = watched
  }

  take(chunk: Buffer): void {
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let at = 0
    for (;;) {
      const frame = frameAt(data, at)
      if (frame === undefined) break
      this.#look(data.subarray(frame.from, frame.to), frame.text)
      at = frame.to
    }
    this.#rest = Buffer.from(data.subarray(at))
  }

  /** Offsets ascend. What is left out, as the server says it may be for a client that is slow, is counted. */
  #look(payload: Buffer, text: boolean): void {
    if (!text || !payload.includes('"value"')) return
    let count = 0
    let last = 0
    for (let mark = payload.indexOf(offsetMark); mark >= 0; mark = payload.indexOf(offsetMark, mark + leastLength)) {
      last = mark
      count++
    }
    if (count === 0) return
    const from = offsetAt(payload, payload.indexOf(offsetMark))
    const to = offsetAt(payload, last)
    if (from < this.#next) throw new Error(`offset ${from} after ${this.#next - 1}`)
    if (this.#next >= 0) missed += to + 1 - this.#next - count
    this.#next = to + 1
    events += count
    frames++
    bytes += payload.length
    if (!this.#watched) return
    const sent = payload.lastIndexOf(sentMark) + sentMark.length
    const delay =
      performance.timeOrigin + performance.now() - Number.parseFloat(payload.toString('latin1', sent, sent + 20))
    delays.push(delay)
  }
}

function offsetAt(payload: Buffer, mark: number): number {
  const from = mark + offsetMark.length
  return Number.parseInt(payload.toString('latin1', from, from + 16), 10)
}

/** A whole frame from the server (RFC 6455, 5.2: it is not masked), or undefined while some of it is missing. */
function frameAt(data: Buffer, at: number): { from: number; to: number; text: boolean } | undefined {
  if (data.length < at + 2) return undefined
  const short = data.readUInt8(at + 1) & 0x7f
  const header = short < 126 ? 2 : short === 126 ? 4 : 10
  if (data.length < at + header) return undefined
  const length = short < 126 ? short : short === 126 ? data.readUInt16BE(at + 2) : Number(data.readBigUInt64BE(at + 2))
  const from = at + header
  const to = from + length
  return to > data.length ? undefined : { from, to, text: (data.readUInt8(at) & 0x0f) === 1 }
}

/** A text frame to the server, masked as it has to be. */
function masked(text: string): Buffer {
  const payload = Buffer.from(text)
  const mask = randomBytes(4)
  const body = payload.map((byte, index) => byte ^ (mask[index % 4] ?? 0))
  return Buffer.concat([Buffer.from([0x81, 0x80 | payload.length]), mask, body])
}

const received = Buffer.alloc(1024 * 1024)

function open(index: number, stalls: boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const client = new Client(index % watchEvery === 0)
    let state: 'upgrading' | 'subscribing' | 'open' = 'upgrading'
    let answers = ''
    const socket = connect({
      host,
      port: Number(port),
      onread: {
        buffer: received,
        callback: (length) => {
          const chunk = received.subarray(0, length)
          if (state === 'open') {
            client.take(chunk)
            return true
          }
          answers += chunk.toString('latin1')
          if (state === 'upgrading' && answers.includes('\r\n\r\n')) {
            if (!answers.startsWith('HTTP/1.1 101')) reject(new Error(answers))
            state = subscribe === '' ? 'open' : 'subscribing'
            if (subscribe !== '') socket.write(masked(JSON.stringify({ id: 1, type: 'subscribe', channel: subscribe })))
          }
          if (state === 'subscribing' && answers.includes('"subscribed"')) state = 'open'
          if (state === 'open') resolve()
          return state !== 'open' || !stalls
        },
      },
    })
    socket.on('error', reject)
    const key = randomBytes(16).toString('base64')
    socket.write(
      `GET /v1/live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
    )
  })
}

const all = Number(clients)
for (let index = 0; index < all; index += connecting) {
  const some = Array.from({ length: Math.min(connecting, all - index) }, (_, each) => index + each)
  await Promise.all(some.map((each) => open(each, each < Number(stalled))))
}
const tell = (message: ReceiverMessage) => process.send?.(message)
tell({ open: all })
setInterval(() => {
  tell({ events, frames, bytes, missed, at: performance.timeOrigin + performance.now(), delays })
  delays = []
}, everyMs)
// The parent is gone: nobody wants to know.
process.on('disconnect', () => process.exit())
