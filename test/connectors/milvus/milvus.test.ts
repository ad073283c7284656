import { describe } from 'vitest'
import { vectorStoreContract } from '../../contracts/vector-store.ts'
import { searchContract } from '../../contracts/vector-store-search.ts'
import { findService } from '../../services/services.ts'
import { milvusStorage } from './storage.ts'

const address = await findService('milvus')

describe.skipIf(address === undefined)('a Milvus server', () => {
  const prepare = async () => milvusStorage({ address: address ?? '' })
  vectorStoreContract('Milvus', prepare, { runs: 10 })
  searchContract('Milvus', prepare, { words: true, runs: 4 })
})
