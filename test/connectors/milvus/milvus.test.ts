import { describe } from 'vitest'
import { vectorStoreContract } from '../../contracts/vector-store.ts'
import { findService } from '../../services/services.ts'
import { milvusStorage } from './storage.ts'

const address = await findService('milvus')

describe.skipIf(address === undefined)('a Milvus server', () => {
  vectorStoreContract('Milvus', async () => milvusStorage({ address: address ?? '' }), { runs: 10 })
})
