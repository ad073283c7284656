import { randomUUID } from 'node:crypto'
import { describe } from 'vitest'
import { presenceContract } from '../../contracts/presence.ts'
import { findService } from '../../services/services.ts'
import { openPresence, removeKeys } from './support.ts'

const url = await findService('redis')

describe.skipIf(url === undefined)('with one server', () => {
  presenceContract(
    'Redis',
    async () => {
      const prefix = `test-${randomUUID()}`
      return {
        open: async () => openPresence({ url, prefix }, { members: 300 }),
        remove: () => removeKeys({ url }, prefix),
      }
    },
    { processes: 3, members: 300 },
  )
})
