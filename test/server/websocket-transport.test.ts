import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { type ClientOptions, WebSocket } from 'ws'
import { acceptableOffers } from '../../src/server/websocket-transport.ts'
import { MemoryLiveLog } from '../live/memory-live-log.ts'
import { type Harness, startServer } from './harness.ts'

const running: Harness[] = []
afterEach(async () => {
  while (running.length > 0) await running.pop()?.[Symbol.asyncDispose]()
})

async function server(liveLimits = {}): Promise<Harness> {
  const harness = await startServer({ live: new MemoryLiveLog(), liveLimits })
  running.push(harness)
  return harness
}

interface Client {
  readonly socket: WebSocket
  readonly values: unknown[]
  /** As they came over the network. */
  readonly bytes: () => number
}

async function subscriber({ address }: Harness, options: ClientOptions): Promise<Client> {
  const socket = new WebSocket(`${address.replace('http', 'ws')}/v1/live`, 'millrace.v1', options)
  const upgraded: Promise<[IncomingMessage]> = once(socket, 'upgrade').then(([response]) => [response])
  const values: unknown[] = []
  const subscribed = new Promise<void>((resolve) => {
    socket.on('message', (data) => {
      const message = JSON.parse(String(data))
      if (message.type === 'subscribed') resolve()
      if (message.type === 'events') for (const { value } of message.events) values.push(value)
    })
  })
  const [[response]] = await Promise.all([upgraded, once(socket, 'open')])
  socket.send(JSON.stringify({ id: 1, type: 'subscribe', channel: 'c' }))
  await subscribed
  return { socket, values, bytes: () => response.socket.bytesRead }
}

async function publish({ liveLog }: Harness, values: readonly string[]): Promise<void> {
  const events = values.map((value, index) => ({ id: `${index}`, key: null, value, timestamp: 1 }))
  await liveLog.append(
    'c',
    'lane',
    events,
    events.map((_, index) => index),
  )
}

/** What the server answers an offer of extensions with; undefined for nothing. */
async function negotiated({ address }: Harness, offer: string): Promise<string | undefined> {
  const { port } = new URL(address)
  const socket = connect(Number(port), '127.0.0.1')
  socket.write(
    `GET /v1/live HTTP/1.1\r\nHost: localhost:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: ${offer}\r\n\r\n`,
  )
  const [data] = await once(socket, 'data')
  socket.destroy()
  const text = String(data)
  expect(text).toContain('101 Switching Protocols')
  return /^sec-websocket-extensions: (.*)$/im.exec(text)?.[1]?.trim()
}

describe('permessage-deflate', () => {
  const large = 'the same words again and again. '.repeat(200)

  test('what is large comes deflated to those who take it, and as it is to the others', async () => {
    const harness = await server()
    const deflating = await subscriber(harness, {})
    const another = await subscriber(harness, {})
    const plain = await subscriber(harness, { perMessageDeflate: false })
    const before = [deflating, another, plain].map(({ bytes }) => bytes())
    const values = [large, 'small', large.toUpperCase()]
    await publish(harness, values)
    for (const client of [deflating, another, plain]) await expect.poll(() => client.values).toEqual(values)
    const took = [deflating, another, plain].map(({ bytes }, index) => bytes() - (before[index] ?? 0))
    expect(took[0]).toBeLessThan(2_000)
    expect(took[1]).toBe(took[0])
    expect(took[2]).toBeGreaterThan(2 * large.length)
    for (const { socket } of [deflating, another, plain]) socket.terminate()
  })

  test('a client with a smaller window is sent nothing that it could not inflate', async () => {
    const harness = await server()
    const client = await subscriber(harness, { perMessageDeflate: { serverMaxWindowBits: 9 } })
    expect(client.socket.extensions).toBe('')
    await publish(harness, [large])
    await expect.poll(() => client.values).toEqual([large])
    client.socket.terminate()
  })

  test.each([
    ['permessage-deflate', undefined],
    ['permessage-deflate; client_max_window_bits', 'client_max_window_bits=10'],
    ['permessage-deflate; client_max_window_bits=9', 'client_max_window_bits=9'],
    ['permessage-deflate; server_no_context_takeover; client_max_window_bits', 'client_max_window_bits=10'],
  ])('the offer "%s" is taken', async (offer, window) => {
    const answer = await negotiated(await server(), offer)
    expect(answer).toContain('server_no_context_takeover')
    expect(answer).toContain('client_no_context_takeover')
    if (window === undefined) expect(answer).not.toContain('max_window_bits')
    else expect(answer).toContain(window)
  })

  test('without an offer, or with an unknown one, nothing is deflated', async () => {
    expect(await negotiated(await server(), 'x-webkit-deflate-frame')).toBeUndefined()
  })

  test('what is deflated on the way here is understood; a bomb closes the connection', async () => {
    const harness = await server({ frameBytes: 100_000 })
    const { socket } = await subscriber(harness, { perMessageDeflate: { threshold: 0 } })
    socket.send(JSON.stringify({ id: 2, type: 'unsubscribe', subscription: 's1', padding: 'x'.repeat(50_000) }))
    const [refused] = await once(socket, 'message')
    expect(JSON.parse(String(refused))).toMatchObject({ id: 2, type: 'error', code: 'bad_message' })
    socket.send('x'.repeat(50_000_000))
    const [code] = await once(socket, 'close')
    expect(code).toBe(1009)
  })
})

test('a window is made small wherever the client leaves it to the server', () => {
  expect(acceptableOffers('permessage-deflate; client_max_window_bits, permessage-deflate')).toBe(
    'permessage-deflate; client_max_window_bits=10, permessage-deflate',
  )
  expect(acceptableOffers('permessage-deflate;client_max_window_bits ;server_no_context_takeover')).toBe(
    'permessage-deflate;client_max_window_bits=10 ;server_no_context_takeover',
  )
  expect(acceptableOffers('permessage-deflate; server_max_window_bits=12, permessage-deflate')).toBe(
    ' permessage-deflate',
  )
  expect(acceptableOffers('permessage-deflate; server_max_window_bits=12')).toBeUndefined()
})

test('frames of every length come as they were sent, with pongs between them, and nothing after a close', async () => {
  const harness = await server()
  const { socket, values } = await subscriber(harness, { perMessageDeflate: false })
  const sent: string[] = []
  for (const length of [1, 20, 30, 40, 60, 100, 1_000, 65_300, 65_440, 65_500, 70_000, 200_000]) {
    const batch = [`${length}`.padEnd(length, 'ü'), 'x'.repeat(length)]
    sent.push(...batch)
    for (let pings = 0; pings < 20; pings++) socket.ping()
    await publish(harness, batch)
    await expect.poll(() => values.length).toBe(sent.length)
  }
  expect(values).toEqual(sent)
  const closed = once(socket, 'close')
  await publish(harness, ['the last'])
  socket.close(1000)
  await publish(
    harness,
    Array.from({ length: 100 }, () => 'never sent'),
  )
  expect((await closed)[0]).toBe(1000)
})
