import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { openRedis } from '../../connectors/redis/index.ts'
import { type Scene, scene } from '../live/direct-client.ts'
import { Visitor } from '../live/visitor.ts'
import { redisMissing, startRedis } from '../services/redis.ts'

const missing = await redisMissing()

/** All that one gateway has of live channels, on its own connections. */
function gateway(url: string, leaseMs = 2_000): Scene {
  const redis = openRedis({ url }, { presence: { leaseMs } })
  const world = scene({}, redis.live, async () => redis.presence)
  const close = async () => {
    await world.live.close()
    await redis.close()
  }
  return { ...world, [Symbol.asyncDispose]: close }
}

describe.skipIf(missing !== undefined)('two gateways on one Redis', () => {
  test('everyone sees everyone, within their rows, whichever gateway they are on', async () => {
    await using server = await startRedis({ settings: { appendonly: 'no' } })
    await using west = gateway(server.url)
    await using east = gateway(server.url)
    const ann = new Visitor(west, { id: 'ann' }, { state: 'west' })
    await ann.sees('ann')
    await sleep(2)
    const bob = new Visitor(east, { id: 'bob' }, { state: 'east' })
    await bob.sees('ann bob')
    await ann.sees('ann bob')
    await bob.client.ask({ id: 2, type: 'presence', subscription: 's1', state: 'typing' })
    await expect.poll(() => ann.list.members.map(({ state }) => state)).toEqual(['west', 'typing'])
    const tenant = [{ tenant: 'a' }]
    const cat = new Visitor(west, { id: 'cat', rows: tenant })
    await cat.sees('cat')
    await sleep(2)
    const dan = new Visitor(east, { id: 'dan', rows: tenant })
    await dan.sees('cat dan')
    await cat.sees('cat dan')
    await bob.sees('ann bob cat dan')
    const presence = await east.live.presence()
    await expect.poll(() => presence.subscriptions('c'), { timeout: 5_000 }).toBe(4)
    bob.leave()
    await ann.sees('ann cat dan')
  })

  test('a gateway that shuts down takes its sessions along at once', async () => {
    await using server = await startRedis({ settings: { appendonly: 'no' } })
    await using west = gateway(server.url, 60_000)
    await using east = gateway(server.url, 60_000)
    const ann = new Visitor(west, { id: 'ann' })
    await ann.sees('ann')
    await sleep(2)
    const bob = new Visitor(east, { id: 'bob' })
    await ann.sees('ann bob')
    await bob.sees('ann bob')
    await east.live.close()
    await ann.sees('ann')
  })

  test('an outage of Redis disturbs no subscription, and ends with everyone there', { timeout: 60_000 }, async () => {
    await using server = await startRedis({ settings: { appendonly: 'no' } })
    await using west = gateway(server.url)
    await using east = gateway(server.url)
    const ann = new Visitor(west, { id: 'ann' })
    await ann.sees('ann')
    await sleep(2)
    const bob = new Visitor(east, { id: 'bob' })
    await bob.sees('ann bob')
    await ann.sees('ann bob')
    const told = ann.list.messages
    await server.kill()
    await sleep(500)
    expect(ann.client.closed).toBeUndefined()
    expect(ann.list.users).toBe('ann bob')
    await server.restart()
    // The channel begins a new epoch with the data that are gone, and clients come back.
    for (const visitor of [ann, bob]) expect(await visitor.client.whenClosed()).toMatchObject({ code: 4002 })
    expect(ann.list.messages).toBe(told)
    const again = new Visitor(west, { id: 'ann' })
    await again.sees('ann')
    await sleep(2)
    const other = new Visitor(east, { id: 'bob' })
    await other.sees('ann bob')
    await again.sees('ann bob')
  })
})
