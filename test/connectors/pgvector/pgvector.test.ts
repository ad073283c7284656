import { describe } from 'vitest'
import { openPgVector } from '../../../connectors/pgvector/index.ts'
import { vectorStoreContract } from '../../contracts/vector-store.ts'
import { searchContract } from '../../contracts/vector-store-search.ts'
import { findPostgres } from '../../services/postgres.ts'

const url = await findPostgres()
const prepare = async () => ({ open: () => openPgVector({ url: url ?? '' }), remove: async () => {} })

describe.skipIf(url === undefined)('pgvector', () => {
  vectorStoreContract('pgvector', prepare)
  searchContract('pgvector', prepare, { words: true })
})
