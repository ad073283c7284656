import { afterEach, describe, expect, test } from 'vitest'
import { reconnectDelay } from '../../src/client/backoff.ts'
import { type Client, connect, MillraceClientError } from '../../src/client/index.ts'
import { MemoryLiveLog } from '../live/memory-live-log.ts'
import { type Harness, json, startServer } from '../server/harness.ts'

const open: (() => unknown)[] = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})
async function server(options: Parameters<typeof startServer>[0] = {}): Promise<Harness> {
  const harness = await startServer(options)
  open.push(() => harness[Symbol.asyncDispose]())
  return harness
}
function client(harness: Harness, options: Parameters<typeof connect>[1] = {}): Client {
  const made = connect(harness.address, options)
  open.push(() => made.close())
  return made
}
let pushed = 0
async function push(harness: Harness, ...values: number[]): Promise<void> {
  const events = values.map((value) => ({ id: `e${pushed++}`, key: null, value, timestamp: 1 }))
  await harness.liveLog.append(
    'numbers',
    'lane',
    events,
    values.map(() => pushed++),
  )
}

describe('subscribe', () => {
  test('iterates over events as they come, and ends when closed', async () => {
    const harness = await server()
    const subscription = client(harness).subscribe('numbers')
    await subscription.ready()
    await push(harness, 1, 2, 3)
    const seen: unknown[] = []
    for await (const { value } of subscription) {
      seen.push(value)
      if (seen.length === 3) break
    }
    expect(seen).toEqual([1, 2, 3])
    expect(subscription.closed).toBe(true)
  })

  test('goes on after the server was away: each event once, in order', async () => {
    const harness = await server()
    const subscription = client(harness).subscribe('numbers')
    const seen: unknown[] = []
    const gaps: unknown[] = []
    subscription.on('event', ({ value }) => seen.push(value))
    subscription.on('gap', (gap) => gaps.push(gap))
    await subscription.ready()
    await push(harness, 1, 2)
    await expect.poll(() => seen.length).toBe(2)
    const back = new Promise<{ recovered: boolean }>((resolve) => subscription.on('subscribed', resolve))
    const restarted = harness.restart()
    await push(harness, 3, 4)
    await restarted
    expect(await back).toMatchObject({ recovered: true })
    await push(harness, 5)
    await expect.poll(() => seen).toEqual([1, 2, 3, 4, 5])
    expect(gaps).toEqual([])
  })

  test('what the server no longer has is told as a gap', async () => {
    const live = new MemoryLiveLog(2)
    const harness = await server({ live })
    const subscription = client(harness).subscribe('numbers')
    const seen: unknown[] = []
    subscription.on('event', ({ value }) => seen.push(value))
    await subscription.ready()
    await push(harness, 0)
    await expect.poll(() => seen).toEqual([0])
    const gap = new Promise((resolve) => subscription.on('gap', resolve))
    const restarted = harness.restart()
    await push(harness, 1, 2, 3, 4, 5)
    await restarted
    expect(await gap).toEqual({ reason: 'unrecovered', from: 1, to: 5 })
    await push(harness, 6)
    await expect.poll(() => seen).toEqual([0, 6])
  })

  test('a consumer that is slow to iterate holds the server back and misses nothing', async () => {
    const harness = await server()
    const subscription = client(harness).subscribe('numbers')
    await subscription.ready()
    const total = 6_000
    for (let from = 0; from < total; from += 500)
      await push(harness, ...Array.from({ length: 500 }, (_, index) => from + index))
    await new Promise((resolve) => setTimeout(resolve, 100))
    const seen: unknown[] = []
    for await (const { value } of subscription) if (seen.push(value) === total) break
    expect(seen).toEqual(Array.from({ length: total }, (_, index) => index))
  })

  test('a subscription that is refused rejects, and its iteration throws', async () => {
    const subscription = client(await server()).subscribe('numbers', { filter: 'value ==' })
    await expect(subscription.ready()).rejects.toThrow(MillraceClientError)
    await expect(subscription[Symbol.asyncIterator]().next()).rejects.toThrow(MillraceClientError)
  })

  test('one that is closed before it flows is not waited for, nor one of a closed client', async () => {
    const made = client(await server())
    const subscription = made.subscribe('numbers')
    const ready = subscription.ready()
    made.close()
    await expect(ready).rejects.toMatchObject({ code: 'closed' })
    await expect(made.subscribe('numbers').ready()).rejects.toMatchObject({ code: 'closed' })
  })

  test('a consumer that was held back when the client closed gets what has come, and ends', async () => {
    const harness = await server()
    const made = client(harness)
    const subscription = made.subscribe('numbers')
    await subscription.ready()
    for (let from = 0; from < 4_000; from += 500) await push(harness, ...Array.from({ length: 500 }, () => from))
    await expect.poll(() => made.state).toBe('open')
    await new Promise((resolve) => setTimeout(resolve, 200))
    made.close()
    let seen = 0
    for await (const _ of subscription) seen++
    expect(seen).toBeGreaterThanOrEqual(2_000)
  })

  test('a listener that throws loses neither the events after it nor the other listeners', async () => {
    const harness = await server()
    const subscription = client(harness).subscribe('numbers')
    const thrown: unknown[] = []
    const uncaught = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException').on('uncaughtException', (error) => thrown.push(error.message))
    try {
      const seen: unknown[] = []
      subscription.on('event', ({ value }) => {
        if (value === 1) throw new Error('the page is wrong')
      })
      subscription.on('event', ({ value }) => seen.push(value))
      await subscription.ready()
      await push(harness, 1, 2, 3)
      await expect.poll(() => seen).toEqual([1, 2, 3])
      expect(thrown).toEqual(['the page is wrong'])
    } finally {
      process.removeAllListeners('uncaughtException')
      for (const listener of uncaught) process.on('uncaughtException', listener)
    }
  })

  test('with a token; a wrong one is final', async () => {
    const harness = await server({ token: 'secret-token' })
    const right = client(harness, { token: 'secret-token' }).subscribe('numbers')
    await right.ready()
    await push(harness, 7)
    expect(await right[Symbol.asyncIterator]().next()).toMatchObject({ value: { value: 7 } })
    const wrong = client(harness, { token: 'wrong' })
    await expect(wrong.subscribe('numbers').ready()).rejects.toMatchObject({ status: 4501 })
    expect(wrong.state).toBe('idle')
  })
})

describe('calls', () => {
  test('publish, search, query', async () => {
    const harness = await server()
    await harness.fetch('/v1/topics', json({ name: 'tickets', partitions: 1 }))
    const made = client(harness)
    expect(await made.publish('tickets', { id: 'a' }, { key: '/id' })).toEqual([
      { topic: 'tickets', partition: 0, offset: 0 },
    ])
    expect(await made.search('tickets', { text: 'hello', k: 3 })).toMatchObject([{ id: 'tickets/0/0', score: 0.9 }])
    expect(await made.query('SELECT 1 AS one')).toMatchObject({ rows: [{ one: 1 }] })
  })

  test('an error says what the server says', async () => {
    const made = client(await server())
    await expect(made.publish('absent', 1)).rejects.toMatchObject({ code: 'topic_not_found', status: 404 })
    await expect(made.query('SELECT nope')).rejects.toMatchObject({ code: 'bad_query', status: 400 })
  })
})

test('attempts to reconnect spread out and stay under their bound', () => {
  for (let attempt = 0; attempt < 40; attempt++) {
    const delay = reconnectDelay(attempt)
    expect(delay).toBeGreaterThanOrEqual(100)
    expect(delay).toBeLessThanOrEqual(15_000)
  }
  expect(reconnectDelay(3, () => 0)).toBe(800)
})
