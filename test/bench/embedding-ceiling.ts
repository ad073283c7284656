import { readModel } from '../../src/embedding/models/model.ts'
import { BareModel } from './bare-model.ts'
import { defaultModel, openEngine } from './engine.ts'
import { type Benchmark, type Figure, quantile } from './figure.ts'
import { textsFrom } from './texts.ts'

const kinds = [
  { label: 'short texts (12 words)', count: 2_000, words: [12, 12] },
  { label: 'long texts (150 words)', count: 150, words: [150, 150] },
  { label: 'mixed texts (5 to 120 words)', count: 600, words: [5, 120] },
] as const
const rounds = 7

/** Both run in turn, with threads that are loaded before, so that what else the machine does hits both. */
export const embeddingCeiling: Benchmark = {
  name: 'embedding-ceiling',
  summary: 'the embedder beside bare onnxruntime on as many threads, with tokens and batches made before',
  async run() {
    const engine = await openEngine()
    await engine.embed(textsFrom(1_000_000, 400, 5, 120))
    await using bare = await BareModel.start(await readModel(defaultModel), engine.stats().threads)
    const figures: Figure[] = []
    for (const { label, count, words } of kinds) {
      const texts = textsFrom(0, count, words[0], words[1])
      const batches = await bare.prepare(texts)
      const tokens = batches.flat().reduce((sum, ids) => sum + ids.length, 0)
      const ours = async () => {
        const started = performance.now()
        await engine.embed(texts)
        return (performance.now() - started) / 1_000
      }
      const engineSeconds = [await ours()]
      const bareSeconds: number[] = []
      for (let round = 0; round < rounds; round++) {
        bareSeconds.push(await bare.run(batches))
        engineSeconds.push(await ours())
      }
      // Each round of the ceiling stands beside the two of the engine before and after it.
      const ratios = bareSeconds.map(
        (took, at) => (2 * took) / ((engineSeconds[at] ?? 0) + (engineSeconds[at + 1] ?? 0)),
      )
      const speed = (took: readonly number[]) => tokens / quantile(took, 0.5)
      figures.push(
        { name: `${label}: of the ceiling`, value: quantile(ratios, 0.5), unit: 'ratio', least: 0.9 },
        { name: `${label}: embedder`, value: speed(engineSeconds), unit: 'tokens/s' },
        { name: `${label}: ceiling`, value: speed(bareSeconds), unit: 'tokens/s' },
      )
    }
    await engine.close()
    return figures
  },
}
