import { afterEach, expect, test } from 'vitest'
import type { WebSocketLike } from '../../src/client/index.ts'
import { type Client, type ConnectOptions, connect } from '../../src/client/index.ts'
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
function client(harness: Harness, options: ConnectOptions = { transport: 'sse' }): Client {
  const made = connect(harness.address, options)
  open.push(() => made.close())
  return made
}
let pushed = 0
async function push(harness: Harness, ...values: unknown[]): Promise<void> {
  const events = values.map((value) => ({
    id: `e${pushed++}`,
    key: null,
    value: JSON.parse(JSON.stringify(value)),
    timestamp: 1,
  }))
  await harness.liveLog.append(
    'numbers',
    'lane',
    events,
    values.map(() => pushed++),
  )
}

/** As behind a proxy that lets no WebSocket through. */
class FakeBlockedWebSocket implements WebSocketLike {
  static attempts = 0
  #closed: ((event: { code: number; reason: string }) => void) | undefined

  constructor() {
    FakeBlockedWebSocket.attempts++
    setTimeout(() => this.#closed?.({ code: 1006, reason: '' }))
  }

  send(): void {}
  close(): void {}
  addEventListener(type: string, listener: (event: { data: unknown; code: number; reason: string }) => void): void {
    if (type === 'close') this.#closed = ({ code, reason }) => listener({ data: undefined, code, reason })
  }
}

test('events come in order and each once, also after the server was away', async () => {
  const harness = await server()
  const subscription = client(harness).subscribe('numbers')
  const seen: unknown[] = []
  const gaps: unknown[] = []
  subscription.on('event', ({ value }) => seen.push(value))
  subscription.on('gap', (gap) => gaps.push(gap))
  await subscription.ready()
  await push(harness, 1, 'zwei ü', { three: '3\n\n3' })
  await expect.poll(() => seen).toEqual([1, 'zwei ü', { three: '3\n\n3' }])
  const back = new Promise((resolve) => subscription.on('subscribed', resolve))
  const restarted = harness.restart()
  await push(harness, 4)
  await restarted
  expect(await back).toMatchObject({ recovered: true })
  await push(harness, 5)
  await expect.poll(() => seen.slice(3)).toEqual([4, 5])
  expect(gaps).toEqual([])
})

test('the options are the same', async () => {
  const harness = await server()
  await push(harness, 1, 2, 3, 4)
  const made = client(harness)
  const collect = async (options: Parameters<Client['subscribe']>[1], count: number) => {
    const seen: unknown[] = []
    for await (const { value } of made.subscribe('numbers', options)) if (seen.push(value) === count) break
    return seen
  }
  expect(await collect({ since: { last: 2 } }, 2)).toEqual([3, 4])
  expect(await collect({ filter: 'value > 2', since: { last: 10 } }, 2)).toEqual([3, 4])
  expect(await collect({ since: { time: 0 } }, 4)).toEqual([1, 2, 3, 4])
  expect(await collect({ since: { ago: 60_000 }, maxRate: 1_000, conflate: 'value' }, 4)).toEqual([1, 2, 3, 4])
  await expect(made.subscribe('numbers', { filter: 'value ==' }).ready()).rejects.toMatchObject({
    code: 'invalid_expression',
    status: 400,
  })
})

test('what goes over a WebSocket only is refused with that reason', async () => {
  const harness = await server()
  await harness.fetch('/v1/topics', json({ name: 'tickets', partitions: 1 }))
  const made = client(harness)
  const subscription = made.subscribe('numbers', { delta: true, presence: {} })
  await subscription.ready()
  expect(subscription.members).toBeUndefined()
  await expect(subscription.setState('here')).rejects.toMatchObject({ code: 'needs_websocket' })
  await expect(made.liveQuery('plans').ready()).rejects.toMatchObject({ code: 'needs_websocket' })
  const vector = made.subscribe('numbers', { similar: { vector: [1] } })
  await expect(vector.ready()).rejects.toMatchObject({ code: 'needs_websocket' })
  expect(await made.publish('tickets', { a: 1 })).toHaveLength(1)
})

test('a consumer that is slow to iterate holds the server back and misses nothing', async () => {
  const harness = await server()
  const subscription = client(harness).subscribe('numbers')
  await subscription.ready()
  const values = Array.from({ length: 6_000 }, (_, index) => index)
  for (let from = 0; from < values.length; from += 500) await push(harness, ...values.slice(from, from + 500))
  await new Promise((resolve) => setTimeout(resolve, 200))
  const seen: unknown[] = []
  for await (const { value } of subscription) if (seen.push(value) === values.length) break
  expect(seen).toEqual(values)
})

test('with a token in a header, and another when the first is refused', async () => {
  const harness = await server({ token: 'right' })
  let asked = 0
  const made = client(harness, { transport: 'sse', token: () => (++asked === 1 ? 'wrong' : 'right') })
  await made.subscribe('numbers').ready()
  expect(asked).toBe(2)
  const wrong = client(harness, { transport: 'sse', token: 'wrong' })
  await expect(wrong.subscribe('numbers').ready()).rejects.toMatchObject({ status: 401 })
})

test('where WebSockets do not get through although HTTP does, channels come all the same', async () => {
  const harness = await server()
  const made = client(harness, { WebSocket: FakeBlockedWebSocket })
  const subscription = made.subscribe('numbers')
  await subscription.ready()
  expect(FakeBlockedWebSocket.attempts).toBe(3)
  await push(harness, 1)
  expect(await subscription[Symbol.asyncIterator]().next()).toMatchObject({ value: { value: 1 } })
})

test('where WebSockets alone are wanted, nothing else is tried', async () => {
  const harness = await server()
  const made = client(harness, { WebSocket: FakeBlockedWebSocket, transport: 'websocket' })
  const subscription = made.subscribe('numbers')
  const states: string[] = []
  made.onState((state) => states.push(state))
  await expect.poll(() => states.filter((state) => state === 'waiting').length, { timeout: 5_000 }).toBe(4)
  expect(states).not.toContain('open')
  subscription.close()
  expect(made.state).toBe('idle')
})
