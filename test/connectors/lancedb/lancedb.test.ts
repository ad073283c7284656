import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openLanceDb } from '../../../connectors/lancedb/index.ts'
import { vectorStoreContract } from '../../contracts/vector-store.ts'
import { searchContract } from '../../contracts/vector-store-search.ts'

async function prepare() {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-lancedb-'))
  return { open: () => openLanceDb(folder), remove: () => rm(folder, { recursive: true, force: true }) }
}

vectorStoreContract('LanceDB', prepare)
searchContract('LanceDB', prepare, { words: true })
