import { describe } from 'vitest'
import { openPgVector } from '../../../connectors/pgvector/index.ts'
import { vectorStoreContract } from '../../contracts/vector-store.ts'
import { findPostgres } from '../../services/postgres.ts'

const url = await findPostgres()

describe.skipIf(url === undefined)('pgvector', () => {
  vectorStoreContract('pgvector', async () => ({
    open: () => openPgVector({ url: url ?? '' }),
    remove: async () => {},
  }))
})
