import { readFile } from 'node:fs/promises'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { errorMessage, Fatal } from '../../core/errors.ts'
import { type Model, type ModelFile, unreadable, unusable, verifyFile } from '../models/model.ts'
import type { CountReply, EmbedReply } from './messages.ts'
import { TextTokenizer, type TokenizedText } from './tokenizer.ts'

/** Padded tokens in one run of the model: more gain nothing, and a query behind it waits longer. */
const tokensPerRun = 768

const sessionOptions: InferenceSession.SessionOptions = {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  graphOptimizationLevel: 'all',
  extra: { session: { intra_op: { allow_spinning: '0' }, set_denormal_as_zero: '1' } },
}

interface Row extends TokenizedText {
  /** Which text it is. */
  readonly index: number
}

/** A loaded model: runs on the thread that loaded it and blocks it. */
export class ModelSession {
  readonly #model: Model
  readonly #tokenizer: TextTokenizer
  readonly #session: InferenceSession

  private constructor(model: Model, tokenizer: TextTokenizer, session: InferenceSession) {
    this.#model = model
    this.#tokenizer = tokenizer
    this.#session = session
  }

  /** Throws `Fatal` (`model_unusable`) when a file is missing, has the wrong checksum or is no such model. */
  static async load(model: Model): Promise<ModelSession> {
    const [weights, tokenizer, tokenizerConfig] = await Promise.all([
      readVerified(model.weights),
      readVerified(model.tokenizer),
      readVerified(model.tokenizerConfig),
    ])
    try {
      const session = await InferenceSession.create(weights, sessionOptions)
      return new ModelSession(model, makeTokenizer(tokenizer, tokenizerConfig, model.maxTokens), session)
    } catch (error) {
      if (error instanceof Fatal) throw error
      throw unusable(`the model ${model.weights.path} cannot be loaded: ${errorMessage(error)}.`, error)
    }
  }

  /** Embeds the texts in runs of near-equal length. */
  async embed(texts: readonly string[]): Promise<EmbedReply> {
    const rows = texts.map((text, index): Row => ({ index, ...this.#tokenizer.tokenize(text) }))
    rows.sort((a, b) => a.ids.length - b.ids.length)
    const vectors = new Float32Array(texts.length * this.#model.dimension)
    for (const run of cutRuns(rows)) await this.#run(run, vectors)
    const tokens = rows.reduce((sum, row) => sum + row.ids.length, 0)
    return { kind: 'vectors', vectors, tokens, truncated: rows.filter((row) => row.truncated).length }
  }

  count(texts: readonly string[]): CountReply {
    return { kind: 'counts', counts: Uint32Array.from(texts, (text) => this.#tokenizer.count(text)) }
  }

  async close(): Promise<void> {
    await this.#session.release()
  }

  async #run(rows: readonly Row[], into: Float32Array): Promise<void> {
    const length = rows.at(-1)?.ids.length ?? 0
    const ids = new BigInt64Array(rows.length * length).fill(BigInt(this.#model.padId))
    const mask = new BigInt64Array(rows.length * length)
    rows.forEach((row, at) => {
      row.ids.forEach((id, position) => {
        ids[at * length + position] = BigInt(id)
      })
      mask.fill(1n, at * length, at * length + row.ids.length)
    })
    const shape = [rows.length, length]
    const feeds: Record<string, Tensor> = {
      input_ids: new Tensor('int64', ids, shape),
      attention_mask: new Tensor('int64', mask, shape),
    }
    if (this.#session.inputNames.includes('token_type_ids')) {
      feeds.token_type_ids = new Tensor('int64', new BigInt64Array(ids.length), shape)
    }
    const pooled = await this.#pooled(feeds, rows, length)
    const { dimension } = this.#model
    rows.forEach((row, at) => {
      into.set(pooled.subarray(at * dimension, (at + 1) * dimension), row.index * dimension)
    })
  }

  async #pooled(feeds: Record<string, Tensor>, rows: readonly Row[], length: number): Promise<Float32Array> {
    const inGraph = this.#session.outputNames.includes('sentence_embedding')
    const name = inGraph ? 'sentence_embedding' : 'last_hidden_state'
    const data = (await this.#session.run(feeds, [name]))[name]?.data
    if (!(data instanceof Float32Array)) {
      throw unusable(`the model ${this.#model.weights.path} has no output "${name}" of type float32.`)
    }
    return inGraph ? data : this.#pool(data, rows, length)
  }

  #pool(hidden: Float32Array, rows: readonly Row[], length: number): Float32Array {
    const { dimension, pooling } = this.#model
    const pooled = new Float32Array(rows.length * dimension)
    rows.forEach((row, at) => {
      const vector = pooled.subarray(at * dimension, (at + 1) * dimension)
      const count = pooling === 'cls' ? 1 : row.ids.length
      for (let token = 0; token < count; token++) {
        const from = (at * length + token) * dimension
        for (let i = 0; i < dimension; i++) vector[i] = (vector[i] ?? 0) + (hidden[from + i] ?? 0)
      }
      normalise(vector)
    })
    return pooled
  }
}

/** Rows come in ascending by length; a run ends where its padded tokens or its padding would be too many. */
function cutRuns(rows: readonly Row[]): Row[][] {
  const runs: Row[][] = []
  let run: Row[] = []
  for (const row of rows) {
    const length = row.ids.length
    const shortest = run[0]?.ids.length ?? length
    if (run.length > 0 && ((run.length + 1) * length > tokensPerRun || length > shortest * 1.25 + 4)) {
      runs.push(run)
      run = []
    }
    run.push(row)
  }
  if (run.length > 0) runs.push(run)
  return runs
}

function normalise(vector: Float32Array): void {
  const norm = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0))
  if (norm === 0) return
  for (let i = 0; i < vector.length; i++) vector[i] = (vector[i] ?? 0) / norm
}

async function readVerified(file: ModelFile): Promise<Buffer> {
  const content = await readFile(file.path).catch((error: unknown) => {
    throw unreadable(file.path, error)
  })
  verifyFile(file, content)
  return content
}

function makeTokenizer(tokenizer: Buffer, config: Buffer, maxTokens: number): TextTokenizer {
  return new TextTokenizer(JSON.parse(tokenizer.toString('utf8')), JSON.parse(config.toString('utf8')), maxTokens)
}
