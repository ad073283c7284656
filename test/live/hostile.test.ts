import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'
import { closeCodes } from '../../src/live/protocol.ts'
import { type Harness, startServer } from '../server/harness.ts'
import { MemoryLiveLog } from './memory-live-log.ts'
import { Socket } from './socket.ts'

const open: AsyncDisposable[] = []
const sockets: Socket[] = []
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.close()
  for (const harness of open.splice(0)) await harness[Symbol.asyncDispose]()
})
async function server(options: Parameters<typeof startServer>[0] = {}): Promise<Harness> {
  const harness = await startServer(options)
  open.push(harness)
  return harness
}
async function connect(harness: Harness): Promise<Socket> {
  const socket = await Socket.open(harness.address)
  sockets.push(socket)
  return socket
}

describe('frames that are no messages', () => {
  test.each([
    ['not JSON', '{"id":'],
    ['no object', '[1]'],
    ['no request', '{"type":"dance"}'],
    ['a bomb of brackets', '['.repeat(100_000)],
  ])('%s is answered, and after ten of them the session is closed for good', async (_what, frame) => {
    const socket = await connect(await server())
    socket.raw.send(frame)
    expect(await socket.reply(null)).toMatchObject({ type: 'error', code: 'bad_message', retry: false })
    for (let count = 0; count < 9; count++) socket.raw.send(frame)
    expect(await socket.whenClosed()).toMatchObject({ code: closeCodes.badFrames })
  })

  test('events nested deeper than can be written are refused', async () => {
    const harness = await server()
    await harness.log.ensureTopic('t')
    const socket = await connect(harness)
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`
    socket.raw.send(`{"id":3,"type":"publish","topic":"t","events":[${deep}]}`)
    expect(await socket.reply(3)).toMatchObject({ type: 'error', code: 'invalid_events' })
  })

  test('binary frames', async () => {
    const socket = await connect(await server())
    socket.raw.send(Buffer.from('{"id":1,"type":"subscribe","channel":"c"}'))
    expect(await socket.reply(null)).toMatchObject({ code: 'bad_message' })
  })

  test('a frame larger than the limit closes the connection before it is read', async () => {
    const harness = await server()
    const socket = await connect(harness)
    socket.raw.send('x'.repeat(10_000_001))
    expect(await socket.whenClosed()).toMatchObject({ code: 1009 })
    expect((await harness.fetch('/livez')).status).toBe(200)
  })

  test.each([
    [{ channel: 'a b' }, 'channel'],
    [{ channel: 'c', filter: 7 }, 'filter'],
    [{ channel: 'c', similar: {} }, 'exactly one of text and vector'],
    [{ channel: 'c', similar: { vector: [0, 0] } }, 'no direction'],
    [{ channel: 'c', maxRate: 0 }, 'maxRate'],
    [{ channel: 'c', fliter: 'true' }, 'fliter'],
  ])('%j is answered under its id, with what is wrong', async (options, said) => {
    const socket = await connect(await server())
    socket.send({ id: 5, type: 'subscribe', ...options })
    expect(await socket.reply(5)).toMatchObject({ type: 'error', message: expect.stringContaining(said), retry: false })
  })
})

test('sessions and subscriptions have their limits', async () => {
  const harness = await server({ liveLimits: { sessions: 1, subscriptions: 2 } })
  const socket = await connect(harness)
  for (const id of [1, 2, 3]) socket.send({ id, type: 'subscribe', channel: 'c' })
  expect(await socket.reply(3)).toMatchObject({ code: 'too_many_subscriptions' })
  expect(await (await connect(harness)).whenClosed()).toMatchObject({ code: closeCodes.overloaded })
  const stream = await harness.fetch('/v1/live/c')
  expect(stream.status).toBe(503)
})

test.each([{ requests: 4 }, { requestCharacters: 100 }])(
  'many requests at once are all answered, with the bound %j',
  async (liveLimits) => {
    const harness = await server({ liveLimits })
    const socket = await connect(harness)
    for (let id = 1; id <= 200; id++) socket.send({ id, type: 'publish', topic: 'absent', events: [1] })
    await socket.reply(200)
    expect(socket.received).toHaveLength(199)
  },
)

/** Of 2,000 characters. */
const incompressible = () => randomBytes(1_500).toString('base64')

describe('a client that does not read', () => {
  async function flood(harness: Harness, events: number): Promise<void> {
    const batch = Array.from({ length: events }, (_, index) => {
      return { id: `${index}`, key: `k${index % 3}`, value: incompressible(), timestamp: 1 }
    })
    await harness.liveLog.append(
      'c',
      'lane',
      batch,
      batch.map((_, index) => index),
    )
  }

  test('slows nobody and is sent what is left when it reads again, with the gaps', async () => {
    const harness = await server({ live: new MemoryLiveLog(), liveLimits: { queuedEvents: 50 } })
    const slow = await connect(harness)
    const quick = await connect(harness)
    for (const socket of [slow, quick]) {
      socket.send({ id: 1, type: 'subscribe', channel: 'c' })
      await socket.reply(1)
    }
    slow.raw.pause()
    const rounds = 100
    for (let round = 1; round <= rounds; round++) {
      await flood(harness, 100)
      await expect.poll(() => offsets(quick).length, { interval: 1 }).toBe(round * 100)
    }
    slow.raw.resume()
    const last = rounds * 100 - 1
    await expect.poll(() => offsets(slow).at(-1), { timeout: 10_000 }).toBe(last)
    const seen = offsets(slow)
    expect(seen.length).toBeLessThan(last)
    expect(seen).toEqual([...new Set(seen)].sort((one, other) => one - other))
    const gaps = slow.received.filter(({ type }) => type === 'gap')
    const told = (offset: number) => gaps.some(({ from, to }) => Number(from) <= offset && offset <= Number(to))
    const known = new Set(seen)
    for (let offset = 0; offset <= last; offset++) expect(known.has(offset) || told(offset), `${offset}`).toBe(true)
  })

  test('and takes nothing for too long is told to resume', async () => {
    const harness = await server({ live: new MemoryLiveLog(), liveLimits: { queuedEvents: 50, stalledMs: 100 } })
    const slow = await connect(harness)
    slow.send({ id: 1, type: 'subscribe', channel: 'c' })
    await slow.reply(1)
    slow.raw.pause()
    const metric = async () =>
      (await harness.metrics.text()).includes(`millrace_live_closed_total{code="${closeCodes.slowClient}"} 1`)
    for (let round = 0; round < 100 && !(await metric()); round++) {
      await flood(harness, 200)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    expect(await metric()).toBe(true)
  })
})

test('a client that answers no pings is let go', async () => {
  const harness = await server({ liveLimits: { heartbeatMs: 100 } })
  const socket = await connect(harness)
  socket.raw.pause()
  const text = () => harness.metrics.text()
  await expect.poll(text, { timeout: 3_000 }).toContain(`millrace_live_closed_total{code="${closeCodes.timedOut}"} 1`)
  await expect.poll(text).toContain('millrace_live_sessions{transport="websocket"} 0')
})

function offsets(socket: Socket): number[] {
  return socket.received.flatMap(({ type, events }) =>
    type === 'events' && Array.isArray(events) ? events.map(({ offset }: { offset: number }) => offset) : [],
  )
}
