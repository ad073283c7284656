import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { DirectClient, type Scene, scene } from './direct-client.ts'
import { SlowClient } from './slow-client.ts'

async function append({ log }: Scene, count: number, size: number): Promise<void> {
  const text = 'x'.repeat(size)
  const events = Array.from({ length: count }, (_, n) => ({ id: `${n}`, key: 'k', value: { n, text }, timestamp: 1 }))
  await log.append('c', 'lane', events, [])
}

const offsets = (client: DirectClient) => client.events.map(({ offset }) => offset)
const upTo = (count: number) => Array.from({ length: count }, (_, offset) => offset)
const gaps = (client: DirectClient) => client.received.filter(({ type }) => type === 'gap')

test('history whose events are larger than what may wait comes whole', async () => {
  await using world = scene({ queuedBytes: 100_000 })
  await append(world, 700, 2_000)
  const client = new DirectClient(world.live)
  await client.ask({ id: 1, type: 'subscribe', channel: 'c', since: { time: 0 } })
  await expect.poll(() => offsets(client).at(-1)).toBe(699)
  expect(offsets(client)).toEqual(upTo(700))
  expect(gaps(client)).toEqual([])
})

test('many subscriptions that catch up over a slow network get everything', async () => {
  await using world = scene()
  await append(world, 600, 300)
  const client = new SlowClient(world.live)
  for (let id = 1; id <= 30; id++) {
    client.session.receive(JSON.stringify({ id, type: 'subscribe', channel: 'c', since: { time: 0 } }))
  }
  await expect
    .poll(
      () => {
        client.take(1)
        return offsets(client).length
      },
      { interval: 0, timeout: 20_000 },
    )
    .toBe(30 * 600)
  expect(gaps(client)).toEqual([])
})

test('a rate holds for what is live, and not for the history before it', async () => {
  await using world = scene()
  await append(world, 100, 1)
  const client = new DirectClient(world.live)
  await client.ask({ id: 1, type: 'subscribe', channel: 'c', since: { last: 50 }, maxRate: 5 })
  await expect.poll(() => offsets(client)).toEqual(upTo(100).slice(50))
  await append(world, 20, 1)
  await expect.poll(() => offsets(client).slice(50)).toEqual([115, 116, 117, 118, 119])
  expect(gaps(client)).toMatchObject([{ reason: 'sampled', from: 100, to: 114 }])
})

test('what is live meanwhile comes after the history, and a heartbeat tells of neither before it was sent', async () => {
  await using world = scene()
  await append(world, 100, 10_000)
  const client = new SlowClient(world.live)
  client.session.receive(JSON.stringify({ id: 1, type: 'subscribe', channel: 'c', since: { time: 0 }, delta: true }))
  await expect.poll(() => client.take(1)).toBe(1)
  // The first frame is taken; of the page there is more than the network holds.
  await expect.poll(() => client.take(1)).toBe(1)
  await append(world, 5, 10)
  await sleep(20)
  client.session.heartbeat()
  while (client.take(1) > 0) await sleep(1)
  expect(offsets(client)).toEqual(upTo(105))
  client.session.heartbeat()
  client.take(1)
  const told = client.received.flatMap(({ type, offsets: known }) => (type === 'heartbeat' ? [known] : []))
  expect(told.at(-1)).toEqual({ s1: 104 })
  expect(gaps(client)).toEqual([])
})
