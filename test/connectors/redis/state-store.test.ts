import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { openRedis } from '../../../connectors/redis/index.ts'
import { Fatal, Retryable } from '../../../src/core/errors.ts'
import { stateStoreContract } from '../../contracts/state-store.ts'
import { findService } from '../../services/services.ts'
import { openState, removeKeys } from './support.ts'

const url = await findService('redis')

describe.skipIf(url === undefined)('with one server', () => {
  stateStoreContract('Redis', async () => {
    const prefix = `test-${randomUUID()}`
    return { open: async () => openState({ url, prefix }), remove: () => removeKeys({ url }, prefix) }
  })

  test('a call that was given up and arrives after the next one changes nothing', async () => {
    const prefix = `test-${randomUUID()}`
    const redis = openRedis({ url, prefix })
    const scope = await redis.state.takeOver('s', 0)
    await scope.prepare(10, [{ key: 'a', value: 'first' }])
    await scope.prepare(20, [{ key: 'a', value: 'second' }])
    await scope.prepare(10, [{ key: 'a', value: 'first' }])
    expect(await scope.get(['a'])).toEqual(['second'])
    expect(await (await redis.state.takeOver('s', 10)).get(['a'])).toEqual(['first'])
    await redis.close()
    await removeKeys({ url }, prefix)
  })

  test('state that is gone is not taken for an empty one by its owner', async () => {
    const prefix = `test-${randomUUID()}`
    const redis = openRedis({ url, prefix })
    const scope = await redis.state.takeOver('s', 0)
    await scope.prepare(1, [{ key: 'a', value: 1 }])
    await removeKeys({ url }, prefix)
    const lost = { code: 'state_lost' }
    await expect(scope.prepare(2, [{ key: 'a', value: 2 }])).rejects.toMatchObject(lost)
    await expect(scope.get(['a'])).rejects.toMatchObject(lost)
    await expect(scope.get(['a'])).rejects.toBeInstanceOf(Fatal)
    await redis.close()
  })
})

test('a server that is down is worth another try', async () => {
  const redis = openRedis({ url: 'redis://:secret@127.0.0.1:1' })
  const error = await redis.state.takeOver('s', 0).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(Retryable)
  expect(String(error)).not.toContain('secret')
  await redis.close()
})
