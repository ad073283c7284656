import { afterEach, expect, test, vi } from 'vitest'
import type { Json } from '../../src/core/event.ts'
import { type Harness, startServer } from '../server/harness.ts'
import { MemoryLiveLog } from './memory-live-log.ts'
import { Socket } from './socket.ts'

let harness: Harness | undefined
afterEach(async () => {
  vi.restoreAllMocks()
  await harness?.[Symbol.asyncDispose]()
})

const realNow = performance.now.bind(performance)
let later = 0

/** What looks at its field `slow` has taken 5 ms by the clock. */
const value: Json = {
  fast: 1,
  get slow() {
    later += 5
    return 1
  },
}

async function publish(count: number): Promise<void> {
  const events = Array.from({ length: count }, (_, index) => ({ id: `e${index}`, key: null, value, timestamp: 1 }))
  await harness?.liveLog.append('c', 'lane', events, [])
}

async function subscriber(options: Record<string, unknown>): Promise<Socket> {
  const socket = await Socket.open(harness?.address ?? '')
  socket.send({ id: 1, type: 'subscribe', channel: 'c', ...options })
  expect(await socket.reply(1)).toMatchObject({ type: 'subscribed' })
  return socket
}

const eventsOf = (socket: Socket) =>
  socket.received.filter(({ type }) => type === 'events').reduce((sum, { events }) => sum + Object(events).length, 0)

test.each([
  ['filter', { filter: 'value.slow == 1' }],
  ['conflate', { conflate: 'value.slow' }],
  ['filter, while it catches up,', { filter: 'value.slow == 1', since: { last: 100 } }],
])('a %s that is too costly ends its subscriptions and no other', async (_, options) => {
  harness = await startServer({ live: new MemoryLiveLog() })
  vi.spyOn(performance, 'now').mockImplementation(() => realNow() + later)
  const other = await subscriber({ filter: 'value.fast == 1' })
  if ('since' in options) await publish(100)
  const costly = await subscriber(options)
  if (!('since' in options)) await publish(100)
  expect(await costly.ofType('ended')).toMatchObject({ code: 'expression_too_costly', retry: false })
  await expect.poll(() => eventsOf(other)).toBe(100)
  costly.send({ id: 2, type: 'subscribe', channel: 'c', ...options })
  expect(await costly.reply(2)).toMatchObject({ type: 'error', code: 'expression_too_costly' })
  costly.send({ id: 3, type: 'subscribe', channel: 'c' })
  expect(await costly.reply(3)).toMatchObject({ type: 'subscribed', subscription: 's1' })
  for (const socket of [other, costly]) socket.close()
})
