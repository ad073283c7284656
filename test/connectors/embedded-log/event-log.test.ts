import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openEmbeddedLog } from '../../../connectors/embedded-log/index.ts'
import { eventLogContract } from '../../contracts/event-log.ts'

eventLogContract('the embedded log', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-log-'))
  return {
    open: () => openEmbeddedLog(folder, { leaseMs: 3000 }),
    remove: () => rm(folder, { recursive: true }),
  }
})
