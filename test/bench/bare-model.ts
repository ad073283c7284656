import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { TextTokenizer } from '../../src/embedding/local/tokenizer.ts'
import type { Model } from '../../src/embedding/models/model.ts'

export interface BareRound {
  /** Token ids of each text; each batch ascending by length. */
  readonly batches: readonly (readonly Int32Array[])[]
  /** Shared by the threads: the next batch. */
  readonly next: Int32Array
}

const budgets = [256, 384, 512]
const triesPerBudget = 2

/**
 * The model on as many threads as the engine has, with everything else done before: texts are tokenized, sorted by length and
 * cut into batches, which are in every thread's memory. Nothing is done with the vectors. This is what an engine can reach.
 */
export class BareModel implements AsyncDisposable {
  readonly #workers: readonly Worker[]
  readonly #tokenizer: TextTokenizer

  private constructor(workers: readonly Worker[], tokenizer: TextTokenizer) {
    this.#workers = workers
    this.#tokenizer = tokenizer
  }

  static async start(model: Model, threads: number): Promise<BareModel> {
    const workerData = { weights: model.weights.path, padId: model.padId }
    const file = new URL('./bare-model-worker.js', import.meta.url)
    const workers = Array.from({ length: threads }, () => new Worker(file, { workerData }))
    await Promise.all(workers.map((worker) => once(worker, 'message')))
    return new BareModel(workers, await TextTokenizer.load(model))
  }

  /** The texts in batches of the number of padded tokens that turns out fastest for them. */
  async prepare(texts: readonly string[]): Promise<BareRound['batches']> {
    const rows = texts.map((text) => this.#tokenizer.tokenize(text).ids).sort((a, b) => a.length - b.length)
    const tried = budgets.map((budget) => ({ batches: cut(rows, budget), took: Number.POSITIVE_INFINITY }))
    for (let round = 0; round < triesPerBudget; round++) {
      for (const each of tried) each.took = Math.min(each.took, await this.run(each.batches))
    }
    return tried.reduce((best, each) => (each.took < best.took ? each : best)).batches
  }

  /** How long all batches take, in seconds. */
  async run(batches: BareRound['batches']): Promise<number> {
    const round: BareRound = { batches, next: new Int32Array(new SharedArrayBuffer(4)) }
    const started = performance.now()
    for (const worker of this.#workers) worker.postMessage(round)
    await Promise.all(this.#workers.map((worker) => once(worker, 'message')))
    return (performance.now() - started) / 1_000
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()))
  }
}

function cut(rows: readonly Int32Array[], budget: number): Int32Array[][] {
  const batches: Int32Array[][] = []
  let batch: Int32Array[] = []
  for (const row of rows) {
    if (batch.length > 0 && (batch.length + 1) * row.length > budget) {
      batches.push(batch)
      batch = []
    }
    batch.push(row)
  }
  if (batch.length > 0) batches.push(batch)
  return batches
}
