import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { describe, expect, test } from 'vitest'
import { openRedis } from '../../../connectors/redis/index.ts'
import { InvalidInput, Retryable } from '../../../src/core/errors.ts'
import { findService } from '../../services/services.ts'

const url = await findService('redis')

describe.skipIf(url === undefined)('reference data in Redis', () => {
  test('are hashes, in the order asked for, whole or by their fields', async () => {
    const prefix = `test-${randomUUID()}:`
    const client = new Redis(url ?? '')
    const redis = openRedis({ url })
    try {
      await client.hset(`${prefix}1`, { name: 'Ada', tier: 'gold' })
      await client.hset(`${prefix}2`, { name: 'Bo' })
      await client.set(`${prefix}odd`, 'text')
      const keys = ['2', 'none', 'odd', '1'].map((key) => prefix + key)
      const odd = expect.any(InvalidInput)
      expect(await redis.hashes.get(keys)).toEqual([{ name: 'Bo' }, undefined, odd, { name: 'Ada', tier: 'gold' }])
      expect(await redis.hashes.get(keys, ['tier', 'x'])).toEqual([undefined, undefined, odd, { tier: 'gold' }])
    } finally {
      await client.del(...['1', '2', 'odd'].map((key) => prefix + key))
      client.disconnect()
      await redis.close()
    }
  })

  test('of a server that is down are worth another try', async () => {
    const redis = openRedis({ url: 'redis://127.0.0.1:1' })
    await expect(redis.hashes.get(['a'])).rejects.toBeInstanceOf(Retryable)
    await redis.close()
  })
})
