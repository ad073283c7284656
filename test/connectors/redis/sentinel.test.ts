import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { describe, expect, test } from 'vitest'
import { openRedis } from '../../../connectors/redis/index.ts'
import type { LiveEvent } from '../../../src/core/live-log.ts'
import { redisMissing } from '../../services/redis.ts'
import { failover } from './failover.ts'
import { eventually, startWatched } from './servers.ts'

const missing = await redisMissing()
const event = (id: string): LiveEvent => ({ id, key: null, value: id, timestamp: 0 })

describe.skipIf(missing !== undefined)('with Sentinels', () => {
  test('a primary that crashes loses nothing but what its replica had not received', { timeout: 90_000 }, async () => {
    await using servers = await startWatched()
    const { sentinels, name, primary } = servers
    await failover({ sentinels, name }, () => primary.kill())
  })

  test('what a replica had not received is gone, and a position in it is not mistaken', {
    timeout: 90_000,
  }, async () => {
    await using servers = await startWatched()
    const { sentinels, name, primary, replica } = servers
    const redis = openRedis({ sentinels, name })
    const scope = await redis.state.takeOver('s', 0)
    await redis.live.append('c', 'lane', [event('a'), event('b')], [0, 1])
    await scope.prepare(2, [{ key: 'k', value: 'before' }])
    const before = await redis.live.head('c')
    await sleep(200)
    replica.pause()
    const client = new Redis(primary.url)
    await client.call('client', ['kill', 'type', 'replica'])
    client.disconnect()
    await redis.live.append('c', 'lane', [event('lost')], [2])
    await scope.prepare(3, [{ key: 'k', value: 'lost' }])
    await primary.kill()
    replica.resume()
    await eventually(() => redis.live.append('c', 'lane', [event('c'), event('d')], [3, 4]), 60_000)
    expect((await redis.live.read('c', 0, 10)).map(({ id }) => id)).toEqual(['a', 'b', 'c', 'd'])
    const after = await redis.live.head('c')
    expect(after.next).toBeGreaterThan(before.next)
    expect(after.epoch).not.toBe(before.epoch)
    expect(await scope.get(['k'])).toEqual(['before'])
    await redis.close()
  })
})
