import { afterEach, describe, expect, test } from 'vitest'
import type { LiveEvent } from '../../src/core/live-log.ts'
import { closeCodes } from '../../src/live/protocol.ts'
import { letters } from '../server/fakes.ts'
import { type Harness, json, startServer } from '../server/harness.ts'
import { MemoryLiveLog } from './memory-live-log.ts'
import { Socket } from './socket.ts'

const open: AsyncDisposable[] = []
const sockets: Socket[] = []
async function server(options: Parameters<typeof startServer>[0] = {}): Promise<Harness> {
  const harness = await startServer(options)
  open.push(harness)
  return harness
}
async function connect(harness: Harness, options: Parameters<typeof Socket.open>[1] = {}): Promise<Socket> {
  const socket = await Socket.open(harness.address, options)
  sockets.push(socket)
  return socket
}
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.close()
  for (const harness of open.splice(0)) await harness[Symbol.asyncDispose]()
})

let pushed = 0
async function push(harness: Harness, ...values: LiveEvent['value'][]): Promise<void> {
  const events = values.map((value) => ({
    id: `e${pushed++}`,
    key: null,
    value,
    timestamp: 1,
    vector: textVector(value),
  }))
  await harness.liveLog.append(
    'tickets',
    'lane',
    events,
    events.map(() => pushed++),
  )
}
function textVector(value: LiveEvent['value']): Float32Array | undefined {
  return typeof value === 'string' ? letters(value) : undefined
}
function values(message: Record<string, unknown>): unknown[] {
  const { events } = message
  if (!Array.isArray(events)) throw new Error('no events')
  return events.map((event: { value: unknown }) => event.value)
}

describe('subscribe', () => {
  test('what is pushed afterwards comes, with its offset, id, time and key', async () => {
    const harness = await server()
    const socket = await connect(harness)
    await push(harness, 'before')
    socket.send({ id: 1, type: 'subscribe', channel: 'tickets' })
    const { epoch } = await harness.liveLog.head('tickets')
    expect(await socket.reply(1)).toEqual({
      id: 1,
      type: 'subscribed',
      subscription: 's1',
      epoch,
      offset: 0,
      recovered: true,
    })
    const event = { id: 'x', key: 'k', value: { a: 1 }, timestamp: 1764000000000 }
    await harness.liveLog.append('tickets', 'lane', [event], [1_000_000])
    expect(await socket.ofType('events')).toEqual({
      type: 'events',
      subscription: 's1',
      events: [{ offset: 1, id: 'x', key: 'k', value: { a: 1 }, time: 1764000000000 }],
    })
  })

  test('a filter passes what it is true for; an event it fails on does not match; a retraction always comes', async () => {
    const harness = await server()
    const socket = await connect(harness)
    socket.send({ id: 1, type: 'subscribe', channel: 'tickets', filter: "value.category == 'billing'" })
    await socket.reply(1)
    await push(harness, { category: 'outage' }, 'no object', { category: 'billing' }, null)
    expect(values(await socket.ofType('events'))).toEqual([{ category: 'billing' }, null])
  })

  test('a filter that does not compile is refused with what is wrong', async () => {
    const socket = await connect(await server())
    socket.send({ id: 1, type: 'subscribe', channel: 'tickets', filter: 'value.category ==' })
    expect(await socket.reply(1)).toMatchObject({ type: 'error', retry: false })
  })

  test('similar: the text is embedded once for all, and events come with their score', async () => {
    const harness = await server()
    const similar = { text: 'charged twice', minScore: 0.9 }
    const both = [await connect(harness), await connect(harness)]
    for (const socket of both) {
      socket.send({ id: 1, type: 'subscribe', channel: 'tickets', similar })
      await socket.reply(1)
    }
    expect(harness.embedder.embedded).toBeLessThanOrEqual(2)
    await push(harness, 'zzz', 'twice charged')
    for (const socket of both) {
      const message = await socket.ofType('events')
      expect(message).toMatchObject({ events: [{ value: 'twice charged', score: 1 }] })
    }
  })

  test('similar on a channel without vectors says so', async () => {
    const harness = await server()
    const socket = await connect(harness)
    socket.send({ id: 1, type: 'subscribe', channel: 'tickets', similar: { text: 'a' } })
    await socket.reply(1)
    await push(harness, { no: 'vector' })
    expect(await socket.ofType('error')).toMatchObject({ code: 'no_vector', subscription: 's1' })
  })

  test('since a position: every event after it follows, and then what is new', async () => {
    const harness = await server()
    await push(harness, 1, 2, 3)
    const { epoch } = await harness.liveLog.head('tickets')
    const socket = await connect(harness)
    socket.send({ id: 1, type: 'subscribe', channel: 'tickets', since: { epoch, offset: 0 } })
    expect(await socket.reply(1)).toMatchObject({ offset: 0, recovered: true })
    expect(values(await socket.ofType('events'))).toEqual([2, 3])
    await push(harness, 4)
    expect(values(await socket.ofType('events'))).toEqual([4])
  })

  test('another epoch is not recovered', async () => {
    const harness = await server()
    await push(harness, 1, 2, 3)
    const socket = await connect(harness)
    socket.send({ id: 1, type: 'subscribe', channel: 'tickets', since: { epoch: 'other', offset: 0 } })
    expect(await socket.reply(1)).toMatchObject({ offset: 2, recovered: false })
  })

  test('the last n are the last that match', async () => {
    const harness = await server()
    await push(harness, ...Array.from({ length: 1_200 }, (_, number) => number % 600))
    const socket = await connect(harness)
    socket.send({ id: 1, type: 'subscribe', channel: 'tickets', filter: 'value == 7', since: { last: 2 } })
    expect(await socket.reply(1)).toMatchObject({ recovered: true })
    expect(values(await socket.ofType('events'))).toEqual([7])
    expect(values(await socket.ofType('events'))).toEqual([7])
  })

  test('a position that is no longer kept is not recovered', async () => {
    const harness = await server({ live: new MemoryLiveLog(2) })
    await push(harness, 1, 2, 3, 4)
    const { epoch } = await harness.liveLog.head('tickets')
    const socket = await connect(harness)
    for (const [id, offset, recovered] of [
      [1, 0, false],
      [2, 1, true],
      [3, 3, true],
      [4, 9, false],
    ] as const) {
      socket.send({ id, type: 'subscribe', channel: 'tickets', since: { epoch, offset } })
      expect(await socket.reply(id)).toMatchObject({ recovered, offset: recovered ? offset : 3 })
    }
  })

  test('one that is ahead of what its channel has read is sent nothing twice', async () => {
    const log = new MemoryLiveLog()
    const harness = await server({ live: log })
    const first = await connect(harness)
    first.send({ id: 1, type: 'subscribe', channel: 'tickets' })
    const { epoch } = await first.reply(1)
    await push(harness, 1, 2)
    await first.ofType('events')
    const release = log.hold()
    await push(harness, 3, 4)
    const ahead = await connect(harness)
    ahead.send({ id: 1, type: 'subscribe', channel: 'tickets', since: { epoch, offset: 2 } })
    await ahead.reply(1)
    release()
    expect(values(await ahead.ofType('events'))).toEqual([4])
    expect(values(await first.ofType('events'))).toEqual([3, 4])
  })

  test('when the channel starts anew its subscribers are told to come back', async () => {
    const log = new MemoryLiveLog()
    const harness = await server({ live: log })
    const socket = await connect(harness)
    socket.send({ id: 1, type: 'subscribe', channel: 'tickets' })
    await socket.reply(1)
    log.restart('tickets')
    expect(await socket.whenClosed()).toMatchObject({ code: closeCodes.epochChanged })
    const again = await connect(harness)
    again.send({ id: 1, type: 'subscribe', channel: 'tickets' })
    expect(await again.reply(1)).toMatchObject({ epoch: 'epoch-2', offset: -1 })
  })

  test('conflate: of events that come together, the latest of each', async () => {
    const harness = await server({ live: new MemoryLiveLog() })
    const socket = await connect(harness)
    socket.send({ id: 1, type: 'subscribe', channel: 'tickets', conflate: 'value.c' })
    await socket.reply(1)
    await push(harness, { c: 1, n: 1 }, { c: 2, n: 2 }, { c: 1, n: 3 })
    expect(await socket.ofType('gap')).toMatchObject({ reason: 'conflated', from: 0, to: 0, count: 1 })
    expect(values(await socket.ofType('events'))).toEqual([
      { c: 2, n: 2 },
      { c: 1, n: 3 },
    ])
  })

  test('maxRate: a burst of a second, then the newest as the rate allows', async () => {
    const harness = await server()
    const socket = await connect(harness)
    socket.send({ id: 1, type: 'subscribe', channel: 'tickets', maxRate: 5 })
    await socket.reply(1)
    const started = performance.now()
    await push(harness, ...Array.from({ length: 100 }, (_, index) => index))
    expect(await socket.ofType('gap')).toMatchObject({ reason: 'sampled', from: 0, to: 94, count: 95 })
    expect(values(await socket.ofType('events'))).toEqual([95, 96, 97, 98, 99])
    await push(harness, 100)
    expect(values(await socket.ofType('events'))).toEqual([100])
    expect(performance.now() - started).toBeGreaterThan(150)
  })

  test('heartbeats say how far a quiet subscription has come', async () => {
    const harness = await server({ liveLimits: { heartbeatMs: 50 } })
    const socket = await connect(harness)
    socket.send({ id: 1, type: 'subscribe', channel: 'tickets', filter: 'value == 1' })
    await socket.reply(1)
    await push(harness, 2, 3)
    await socket.next(({ type, offsets }) => type === 'heartbeat' && JSON.stringify(offsets) === '{"s1":1}')
  })

  test('unsubscribed is silent', async () => {
    const harness = await server()
    const socket = await connect(harness)
    socket.send({ id: 1, type: 'subscribe', channel: 'tickets' })
    await socket.reply(1)
    socket.send({ id: 2, type: 'unsubscribe', subscription: 's1' })
    expect(await socket.reply(2)).toEqual({ id: 2, type: 'unsubscribed' })
    await push(harness, 1)
    socket.send({ id: 3, type: 'unsubscribe', subscription: 's1' })
    expect(await socket.reply(3)).toMatchObject({ type: 'error', code: 'subscription_not_found' })
    expect(socket.received).toEqual([])
  })
})

test('publish over the socket is durable and answered with positions', async () => {
  const harness = await server()
  await harness.fetch('/v1/topics', json({ name: 'tickets', partitions: 1 }))
  const socket = await connect(harness)
  socket.send({ id: 9, type: 'publish', topic: 'tickets', events: [{ a: 1 }, { a: 2 }], key: '/a' })
  expect(await socket.reply(9)).toEqual({
    id: 9,
    type: 'published',
    positions: [
      { topic: 'tickets', partition: 0, offset: 0 },
      { topic: 'tickets', partition: 0, offset: 1 },
    ],
  })
  socket.send({ id: 10, type: 'publish', topic: 'tickest', events: [1] })
  expect(await socket.reply(10)).toMatchObject({ code: 'topic_not_found', message: expect.stringContaining('tickets') })
})
