import { describe } from 'vitest'
import { openQdrant } from '../../../connectors/qdrant/index.ts'
import { vectorStoreContract } from '../../contracts/vector-store.ts'
import { searchContract } from '../../contracts/vector-store-search.ts'
import { findQdrant } from '../../services/qdrant.ts'

const url = await findQdrant()

describe.skipIf(url === undefined)('Qdrant', () => {
  const prepare = async () => ({ open: () => openQdrant({ url: url ?? '' }), remove: async () => {} })
  vectorStoreContract('Qdrant', prepare, { runs: 10 })
  searchContract('Qdrant', prepare, { words: true, runs: 5 })
})
