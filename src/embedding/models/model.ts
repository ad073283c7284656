import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import type { Purpose } from '../../core/embedder.ts'
import { type Configuration, readConfiguration } from './configuration.ts'
import { type ModelFile, modelFile, readChecksums, unusable } from './files.ts'
import { chooseWeights, type Dtype, dataOf, dtypesIn, listFiles, weightNames } from './weights.ts'

/** A model folder, read but not yet loaded. Plain data: it is handed to the worker threads as it is. */
export interface Model extends Configuration {
  /** The folder's own name, or the name that the model has on the hub. */
  readonly name: string
  readonly weights: ModelFile
  /** Files beside the weights that hold a part of them. */
  readonly weightsData: readonly ModelFile[]
  readonly tokenizer: ModelFile
  readonly tokenizerConfig: ModelFile
  /** Numbers in each vector: all that the weights give, or the first of them (Matryoshka). */
  readonly dimension: number
  /** Of everything that makes the vectors. */
  readonly fingerprint: string
}

/** What the runtime says of the model. */
export interface ModelOptions {
  /** Default: the folder's own name. */
  readonly name?: string | undefined
  readonly dtype?: Dtype | undefined
  readonly dimension?: number | undefined
  /** Instead of the model's own. */
  readonly prefixes?: { readonly [purpose in Purpose]?: string | undefined } | undefined
}

/**
 * Reads the description of a model folder in the layout of transformers.js and of sentence-transformers' ONNX exports.
 * Every file is compared with `SHA256SUMS`, if the folder has it. Whoever loads a file compares it once more, for it may
 * have changed meanwhile. Throws `Fatal` (`model_unusable`).
 */
export async function readModel(folder: string, options: ModelOptions = {}): Promise<Model> {
  const { name = basename(folder), dtype = 'auto' } = options
  const sums = await readChecksums(folder)
  const configuration = await readConfiguration(folder, name, sums)
  const files = await listFiles(folder)
  const weights = chooseWeights(files, dtype)
  if (weights === undefined) throw noWeights(folder, dtype, files)
  const file = (path: string) => modelFile(folder, path, sums)
  const model = {
    ...configuration,
    name,
    weights: await file(weights),
    weightsData: await Promise.all(dataOf(weights, files).map(file)),
    tokenizer: await file('tokenizer.json'),
    tokenizerConfig: await file('tokenizer_config.json'),
    dimension: dimensionOf(folder, configuration, options.dimension),
    prefixes: {
      query: options.prefixes?.query ?? configuration.prefixes.query,
      passage: options.prefixes?.passage ?? configuration.prefixes.passage,
    },
  }
  return { ...model, fingerprint: fingerprintOf(model) }
}

function dimensionOf(folder: string, { outputWidth }: Configuration, wanted = outputWidth): number {
  if (wanted <= outputWidth) return wanted
  throw unusable(
    `embedder.dimension is ${wanted}, but the vectors of the model ${folder} have ${outputWidth} numbers: it can only shorten them.`,
  )
}

/** What many models do not have counts only where it is there, so that fingerprints stay what they are. */
function fingerprintOf(model: Omit<Model, 'fingerprint'>): string {
  const { weights, weightsData, tokenizer, tokenizerConfig, pooling, dimension, maxTokens, prefixes } = model
  const makeup = [weights.sha256, tokenizer.sha256, tokenizerConfig.sha256, pooling, 'normalised', dimension, maxTokens]
  makeup.push(...weightsData.map(({ sha256 }) => sha256))
  if (prefixes.query !== '' || prefixes.passage !== '') makeup.push(JSON.stringify([prefixes.query, prefixes.passage]))
  return createHash('sha256').update(makeup.join(' ')).digest('hex').slice(0, 32)
}

function noWeights(folder: string, dtype: Dtype, files: readonly string[]): Error {
  const others = dtypesIn(files)
  const there = others.length === 0 ? '' : ` It has ${others.join(', ')}: set embedder.dtype to one of them.`
  return unusable(
    `the model folder ${folder} has no weights${dtype === 'auto' ? '' : ` of the dtype ${dtype}`}: ` +
      `expected one of ${weightNames(dtype).join(', ')}.${there}`,
  )
}
