import { InferenceSession, Tensor } from 'onnxruntime-node'
import { errorMessage, Fatal } from '../../core/errors.ts'
import { unusable, verifyFile } from '../models/files.ts'
import type { Model } from '../models/model.ts'
import { normalise, pool } from '../models/pooling.ts'

const sessionOptions: InferenceSession.SessionOptions = {
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  graphOptimizationLevel: 'all',
  extra: { session: { intra_op: { allow_spinning: '0' }, set_denormal_as_zero: '1' } },
}

/** What a graph may ask for, each by what it is for a token at its place in a row. Anything else is not for texts. */
const inputs = new Map<string, (id: number, place: number) => bigint>([
  ['input_ids', (id) => BigInt(id)],
  ['attention_mask', () => 1n],
  ['token_type_ids', () => 0n],
  ['position_ids', (_, place) => BigInt(place)],
])

/** The graph's output that is used. */
interface Output {
  readonly name: string
  /** It has a vector for each text; otherwise one for each token. */
  readonly pooled: boolean
}

/** A loaded model: runs on the thread that loaded it and blocks it. */
export class ModelSession {
  readonly #model: Model
  readonly #session: InferenceSession
  readonly #output: Output

  private constructor(model: Model, session: InferenceSession) {
    this.#model = model
    this.#session = session
    this.#output = findOutput(model, session)
    const unknown = session.inputNames.find((name) => !inputs.has(name))
    if (unknown !== undefined) {
      throw unusable(`the model ${model.weights.path} wants an input "${unknown}": it is not for texts alone.`)
    }
    const metadata = session.outputMetadata.find(({ name }) => name === this.#output.name)
    const width = metadata?.isTensor === true ? metadata.shape.at(-1) : undefined
    if (typeof width === 'number' && width !== model.outputWidth) throw this.#wrongWidth(width)
  }

  /**
   * Throws `Fatal` (`model_unusable`) when a file is missing, has the wrong checksum or is no such model, or when its
   * vectors have another dimension than its configuration says.
   */
  static async load(model: Model): Promise<ModelSession> {
    await Promise.all([model.weights, ...model.weightsData].map(verifyFile))
    try {
      // By its path and not by its content: data that lies in files beside it is found so, of whatever size.
      const session = await InferenceSession.create(model.weights.path, sessionOptions)
      return new ModelSession(model, session)
    } catch (error) {
      if (error instanceof Fatal) throw error
      throw unusable(`the model ${model.weights.path} cannot be loaded: ${errorMessage(error)}.`, error)
    }
  }

  /**
   * One run of the model over these texts' token ids, special tokens included, each at most `maxTokens` long and none
   * empty. Rows are padded to the longest. Answers the vectors one behind the other: `dimension` numbers each, of length 1.
   */
  async run(rows: readonly Int32Array[]): Promise<Float32Array<ArrayBuffer>> {
    const { dimension, outputWidth, pooling } = this.#model
    const vectors = new Float32Array(rows.length * dimension)
    if (rows.length === 0) return vectors
    const length = rows.reduce((longest, row) => Math.max(longest, row.length), 0)
    const hidden = await this.#infer(rows, length)
    const expected = rows.length * (this.#output.pooled ? 1 : length) * outputWidth
    if (hidden.length !== expected) throw this.#wrongWidth((hidden.length / expected) * outputWidth)
    rows.forEach((row, at) => {
      const vector = vectors.subarray(at * dimension, (at + 1) * dimension)
      if (this.#output.pooled) {
        vector.set(hidden.subarray(at * outputWidth, at * outputWidth + dimension))
        normalise(vector)
        return
      }
      const from = at * length * outputWidth
      pool(pooling, hidden.subarray(from, from + row.length * outputWidth), outputWidth, vector)
    })
    return vectors
  }

  async close(): Promise<void> {
    await this.#session.release()
  }

  async #infer(rows: readonly Int32Array[], length: number): Promise<Float32Array> {
    const feeds: Record<string, Tensor> = {}
    for (const name of this.#session.inputNames) {
      const inputOf = inputs.get(name) ?? (() => 0n)
      const values = new BigInt64Array(rows.length * length)
      if (name === 'input_ids') values.fill(BigInt(this.#model.padId))
      rows.forEach((row, at) => {
        row.forEach((id, place) => {
          values[at * length + place] = inputOf(id, place)
        })
      })
      feeds[name] = new Tensor('int64', values, [rows.length, length])
    }
    const { name } = this.#output
    const result = (await this.#session.run(feeds, [name]))[name]?.data
    if (result instanceof Float32Array) return result
    throw unusable(
      `the output "${name}" of the model ${this.#model.weights.path} is not of type float32. Choose another embedder.dtype.`,
    )
  }

  #wrongWidth(width: number): Fatal {
    const { weights, outputWidth } = this.#model
    return unusable(`the model ${weights.path} makes vectors of ${width} numbers, its config.json says ${outputWidth}.`)
  }
}

/** `sentence_embedding` is the whole of the model, pooling and all; without it, the vectors of the tokens. */
function findOutput(model: Model, { outputNames, outputMetadata }: InferenceSession): Output {
  if (outputNames.includes('sentence_embedding')) return { name: 'sentence_embedding', pooled: true }
  if (model.layers.length > 0) {
    throw unusable(
      `the model ${model.weights.path} needs layers behind its pooling (${model.layers.join(', ')}) that its weights do ` +
        'not have in them. Such a model works when it was exported as a whole, with an output "sentence_embedding".',
    )
  }
  const rankThree = outputMetadata.find((output) => output.isTensor && output.shape.length === 3)?.name
  const name = ['last_hidden_state', 'token_embeddings'].find((known) => outputNames.includes(known)) ?? rankThree
  if (name !== undefined) return { name, pooled: false }
  throw unusable(
    `the model ${model.weights.path} has no vectors of tokens among its outputs (${outputNames.join(', ')}): ` +
      'it was not exported for feature extraction.',
  )
}
