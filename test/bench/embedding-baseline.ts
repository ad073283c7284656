import { basename, dirname } from 'node:path'
import { env, type FeatureExtractionPipeline, pipeline } from '@xenova/transformers'
import { readModel } from '../../src/embedding/models/model.ts'
import { BareModel } from './bare-model.ts'
import { defaultModel, openEngine } from './engine.ts'
import { type Benchmark, quantile } from './figure.ts'
import { textsFrom } from './texts.ts'

const count = 320
const rounds = 3
const batchSize = 32

/**
 * Beside what a program would do without an engine: the same model in transformers.js with its defaults, on the main thread.
 * The same for bare onnxruntime with everything else done before, which is the most that can be had from this model here.
 */
export const embeddingBaseline: Benchmark = {
  name: 'embedding-baseline',
  summary: 'the embedder beside transformers.js, called for each text and for batches as they come',
  async run() {
    const engine = await openEngine()
    const extract = await loadPipeline()
    const texts = textsFrom(0, count, 5, 120)
    const embedAll = (size: number) => async () => {
      for (let at = 0; at < texts.length; at += size) {
        await extract(texts.slice(at, at + size), { pooling: 'mean', normalize: true })
      }
    }
    await engine.embed(textsFrom(1_000_000, 200, 5, 120))
    await using bare = await BareModel.start(await readModel(defaultModel), engine.stats().threads)
    const batches = await bare.prepare(texts)
    const took: { ours: number; bare: number; one: number; batched: number }[] = []
    for (let round = 0; round < rounds; round++) {
      const before = await seconds(() => engine.embed(texts))
      const one = await seconds(embedAll(1))
      const least = await bare.run(batches)
      const batched = await seconds(embedAll(batchSize))
      const after = await seconds(() => engine.embed(texts))
      took.push({ ours: (before + after) / 2, bare: least, one, batched })
    }
    await engine.close()
    await extract.dispose()
    const times = (slower: 'one' | 'batched', faster: 'ours' | 'bare') =>
      quantile(
        took.map((round) => round[slower] / round[faster]),
        0.5,
      )
    const most = (slower: 'one' | 'batched') => `bare onnxruntime: ${times(slower, 'bare').toFixed(2)}`
    return [
      {
        name: 'mixed texts: times one call for each text',
        value: times('one', 'ours'),
        unit: 'ratio',
        least: 4,
        note: most('one'),
      },
      {
        name: `mixed texts: times batches of ${batchSize} as they come`,
        value: times('batched', 'ours'),
        unit: 'ratio',
        least: 4,
        note: most('batched'),
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
