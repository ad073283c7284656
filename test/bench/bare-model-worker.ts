import { parentPort, workerData } from 'node:worker_threads'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import type { BareRound } from './bare-model.ts'

/** A worker thread with onnxruntime and nothing else: takes the next batch of a round until none is left. */
const { weights, padId }: { weights: string; padId: number } = workerData
const session = await InferenceSession.create(weights, {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  graphOptimizationLevel: 'all',
  extra: { session: { intra_op: { allow_spinning: '0' }, set_denormal_as_zero: '1' } },
})

parentPort?.on('message', (round: BareRound) => {
  void runRound(round).then(() => parentPort?.postMessage('done'))
})
parentPort?.postMessage('ready')

async function runRound({ batches, next }: BareRound): Promise<void> {
  for (let at = Atomics.add(next, 0, 1); at < batches.length; at = Atomics.add(next, 0, 1)) {
    const rows = batches[at] ?? []
    const length = rows.at(-1)?.length ?? 0
    const ids = new BigInt64Array(rows.length * length).fill(BigInt(padId))
    const mask = new BigInt64Array(rows.length * length)
    for (const [row, tokens] of rows.entries()) {
      for (const [token, id] of tokens.entries()) ids[row * length + token] = BigInt(id)
      mask.fill(1n, row * length, row * length + tokens.length)
    }
    const shape = [rows.length, length]
    const feeds = { input_ids: new Tensor('int64', ids, shape), attention_mask: new Tensor('int64', mask, shape) }
    await session.run(feeds, ['sentence_embedding'])
  }
}
