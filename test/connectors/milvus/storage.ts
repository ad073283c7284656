import { type MilvusSettings, openMilvus } from '../../../connectors/milvus/index.ts'
import { milvusName } from '../../../connectors/milvus/schema.ts'
import { loadSdk } from '../../../connectors/milvus/sdk.ts'
import type { VectorStore } from '../../../src/core/vector-store.ts'
import type { VectorStoreStorage } from '../../contracts/vector-store.ts'

/** A server that others use too: what was opened here is dropped at the end, and nothing else is touched. */
export function milvusStorage(settings: MilvusSettings): VectorStoreStorage {
  const names = new Set<string>()
  return {
    open: async () => {
      const store = await openMilvus(settings)
      return recording(store, names)
    },
    remove: async () => {
      const { MilvusClient } = loadSdk()
      const client = new MilvusClient({ address: settings.address })
      await client.connectPromise
      for (const name of names) await client.dropCollection({ collection_name: milvusName(name) })
      await client.closeConnection()
    },
  }
}

function recording(store: VectorStore, names: Set<string>): VectorStore {
  return {
    open: (spec) => {
      names.add(spec.name)
      return store.open(spec)
    },
    find: (name) => store.find(name),
    collections: () => store.collections(),
    close: () => store.close(),
  }
}
