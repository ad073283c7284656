import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { liveLogContract } from '../../contracts/live-log.ts'
import { presenceContract } from '../../contracts/presence.ts'
import { stateStoreContract } from '../../contracts/state-store.ts'
import { redisMissing } from '../../services/redis.ts'
import { failover } from './failover.ts'
import { type RedisCluster, startCluster } from './servers.ts'
import { openLive, openPresence, openState, removeKeys } from './support.ts'

const missing = await redisMissing()

describe.skipIf(missing !== undefined)('with a cluster', () => {
  let servers: RedisCluster
  beforeAll(async () => {
    servers = await startCluster()
  }, 60_000)
  afterAll(() => servers[Symbol.asyncDispose]())

  const storage = () => {
    const prefix = `test-${randomUUID()}`
    return {
      settings: { cluster: servers.nodes, prefix },
      remove: () => removeKeys({ cluster: servers.nodes }, prefix),
    }
  }
  liveLogContract(
    'Redis',
    async () => {
      const { settings, remove } = storage()
      return { open: async () => openLive(settings), remove }
    },
    { runs: 10 },
  )
  presenceContract(
    'Redis',
    async () => {
      const { settings, remove } = storage()
      return { open: async () => openPresence(settings, { members: 100 }), remove }
    },
    { runs: 10, processes: 2, members: 100 },
  )
  stateStoreContract(
    'Redis',
    async () => {
      const { settings, remove } = storage()
      return { open: async () => openState(settings), remove }
    },
    { runs: 10 },
  )

  test('a primary that crashes loses nothing but what its replica had not received', { timeout: 60_000 }, async () => {
    const settings = { cluster: servers.nodes, prefix: 'failover' }
    const [primary] = servers.servers
    await failover(settings, async () => primary?.kill())
  })
})
