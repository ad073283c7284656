import { resolve } from 'node:path'
import { packageRoot } from '../../src/cli/package.ts'
import { type CachingEmbedder, createEmbedder, type EmbedderOptions } from '../../src/embedding/embedder.ts'
import { openLocalBackend } from '../../src/embedding/local/index.ts'
import { readModel } from '../../src/embedding/models/model.ts'

export const defaultModel = resolve(packageRoot(), 'models/all-MiniLM-L6-v2')

/** The embedder with the default model, on as many threads as it takes by itself; without a cache if not said otherwise. */
export async function openEngine(options: Omit<EmbedderOptions, 'backend'> = {}): Promise<CachingEmbedder> {
  const backend = openLocalBackend({ model: await readModel(defaultModel) })
  return createEmbedder({ backend, memoryBytes: 0, ...options })
}
