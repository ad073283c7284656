import { basename, dirname } from 'node:path'
import { env, type FeatureExtractionPipeline, pipeline } from '@xenova/transformers'
import { defaultModel, openEngine } from './engine.ts'
import { type Benchmark, quantile } from './figure.ts'
import { textsFrom } from './texts.ts'

const count = 160
const rounds = 5
const batchSize = 32

/** Beside what a program would do without an engine: the same model in transformers.js with its defaults, on the main thread. */
export const embeddingBaseline: Benchmark = {
  name: 'embedding-baseline',
  summary: 'the embedder beside transformers.js, called for each text and for batches as they come',
  async run() {
    const engine = await openEngine()
    const extract = await loadPipeline()
    const embedAll = (texts: readonly string[], size: number) => async () => {
      for (let at = 0; at < texts.length; at += size) {
        await extract(texts.slice(at, at + size), { pooling: 'mean', normalize: true })
      }
    }
    const ratios: { one: number; batched: number }[] = []
    await engine.embed(textsFrom(1_000_000, 200, 5, 120))
    for (let round = 0; round < rounds; round++) {
      const texts = textsFrom(round * count, count, 5, 120)
      const ours = () => engine.embed(texts)
      const before = await seconds(ours)
      const one = await seconds(embedAll(texts, 1))
      const between = await seconds(ours)
      const batched = await seconds(embedAll(texts, batchSize))
      const after = await seconds(ours)
      ratios.push({ one: (2 * one) / (before + between), batched: (2 * batched) / (between + after) })
    }
    await engine.close()
    await extract.dispose()
    const median = (name: 'one' | 'batched') =>
      quantile(
        ratios.map((ratio) => ratio[name]),
        0.5,
      )
    return [
      { name: 'mixed texts: times one call for each text', value: median('one'), unit: 'ratio', least: 4 },
      {
        name: `mixed texts: times batches of ${batchSize} as they come`,
        value: median('batched'),
        unit: 'ratio',
        least: 4,
      },
    ]
  },
}

async function loadPipeline(): Promise<FeatureExtractionPipeline> {
  env.localModelPath = dirname(defaultModel)
  env.allowRemoteModels = false
  return pipeline('feature-extraction', basename(defaultModel), { dtype: 'q8', local_files_only: true })
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  await work()
  return (performance.now() - started) / 1_000
}
