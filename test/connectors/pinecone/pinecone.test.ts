import { openPinecone, type PineconeSettings } from '../../../connectors/pinecone/index.ts'
import { vectorStoreContract } from '../../contracts/vector-store.ts'
import { searchContract } from '../../contracts/vector-store-search.ts'
import { type FakePineconeOptions, startFakePinecone } from '../../services/pinecone-server.ts'

const variants: readonly (readonly [string, FakePineconeOptions, number])[] = [
  ['Pinecone', {}, 25],
  ['Pinecone, slow to show what was written,', { freshnessMs: 40, missingDiffers: false }, 2],
  ['Pinecone without numbers of writes', { numbered: false, freshnessMs: 5 }, 2],
]
for (const [name, options, runs] of variants) {
  const prepare = async () => {
    const server = await startFakePinecone(options)
    const settings: PineconeSettings = {
      apiKey: server.apiKey,
      index: 'millrace',
      host: server.url,
      cloud: 'aws',
      region: 'us-east-1',
    }
    return { open: () => openPinecone(settings), remove: () => server.close() }
  }
  vectorStoreContract(name, prepare, { runs })
  searchContract(name, prepare, { words: false, runs: Math.min(5, runs) })
}
