import { LocalPresence } from '../../src/live/local-presence.ts'
import { presenceContract } from '../contracts/presence.ts'

presenceContract(
  'a process',
  async () => ({ open: async () => new LocalPresence({ members: 300 }), remove: async () => undefined }),
  { runs: 100, members: 300 },
)
