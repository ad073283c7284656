import type { Runtime } from '../config/runtime.ts'
import type { VectorStore } from '../core/vector-store.ts'

/** Opens the store that collections are bound to. None but its own code is loaded. `folder` makes one of the data folder. */
export async function openVectorStore(
  { vectors = {} }: Pick<Runtime, 'vectors'>,
  folder: (name: string) => Promise<string>,
): Promise<VectorStore> {
  const { milvus, pinecone, qdrant, pgvector } = vectors
  if (milvus) return (await import('../../connectors/milvus/index.ts')).openMilvus(milvus)
  if (pinecone) return (await import('../../connectors/pinecone/index.ts')).openPinecone(pinecone)
  if (qdrant) return (await import('../../connectors/qdrant/index.ts')).openQdrant(qdrant)
  if (pgvector) return (await import('../../connectors/pgvector/index.ts')).openPgVector(pgvector)
  return (await import('../../connectors/lancedb/index.ts')).openLanceDb(await folder('lancedb'))
}
