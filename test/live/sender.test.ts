import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test, vi } from 'vitest'
import { type Scene, scene } from './direct-client.ts'
import { SlowClient } from './slow-client.ts'

afterEach(() => void vi.restoreAllMocks())

async function append({ log }: Scene, channel: string, count: number, size: number): Promise<void> {
  const value = 'x'.repeat(size)
  const events = Array.from({ length: count }, (_, n) => ({ id: `${n}`, key: null, value, timestamp: 1 }))
  await log.append(channel, 'lane', events, [])
}

async function subscribe(client: SlowClient, id: number, options: Record<string, unknown>): Promise<void> {
  const subscribed = client.ask({ id, type: 'subscribe', ...options })
  await expect.poll(() => client.take(1)).toBe(1)
  await subscribed
}

test('a subscription with more than the network takes does not keep the others from their turn', async () => {
  await using world = scene()
  const client = new SlowClient(world.live)
  await subscribe(client, 1, { channel: 'busy' })
  await subscribe(client, 2, { channel: 'quiet' })
  let rounds = 0
  for (; rounds < 30 && !client.received.some(({ subscription }) => subscription === 's2'); rounds++) {
    await append(world, 'busy', 100, 5_000)
    if (rounds === 5) await append(world, 'quiet', 1, 1)
    await sleep(3)
    client.take(1)
  }
  expect(rounds).toBeLessThan(30)
})

test('a client with a rate that takes nothing is not looked after until it takes something', async () => {
  await using world = scene()
  const client = new SlowClient(world.live)
  await subscribe(client, 1, { channel: 'c', maxRate: 100 })
  await append(world, 'c', 20, 60_000)
  await sleep(20)
  const timers = vi.spyOn(globalThis, 'setTimeout')
  await new Promise(setImmediate)
  await sleep(50)
  expect(timers.mock.calls.length).toBeLessThan(3)
  timers.mockRestore()
  while (client.take(1) > 0) await sleep(1)
  await expect.poll(() => client.take(1) + client.events.length).toBe(20)
})
