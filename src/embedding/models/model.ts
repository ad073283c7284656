import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { access, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { z } from 'zod'
import type { Purpose } from '../../core/embedder.ts'
import { errorMessage, Fatal } from '../../core/errors.ts'
import type { Pooling } from './pooling.ts'

/** A model folder, read but not yet loaded. Plain data: it is handed to the worker threads as it is. */
export interface Model {
  /** The folder's own name. */
  readonly name: string
  readonly weights: ModelFile
  /** Files beside the weights that hold a part of them. */
  readonly weightsData: readonly ModelFile[]
  readonly tokenizer: ModelFile
  readonly tokenizerConfig: ModelFile
  /** How token vectors become one vector, for weights that have no output `sentence_embedding`. */
  readonly pooling: Pooling
  /** Numbers in each vector: all that the weights give, or the first of them (Matryoshka). */
  readonly dimension: number
  /** Numbers in each vector as the weights give it. */
  readonly outputWidth: number
  /** Special tokens included. */
  readonly maxTokens: number
  readonly padId: number
  /** What it wants before a text, by what the text is for. */
  readonly prefixes: Readonly<Record<Purpose, string>>
  readonly fingerprint: string
}

export interface ModelFile {
  readonly path: string
  /** What the file's content must have, in hex. */
  readonly sha256: string
}

const weightFiles = ['onnx/model_quantized.onnx', 'onnx/model.onnx', 'model_quantized.onnx', 'model.onnx']
const defaultMaxTokens = 256

const configSchema = z.object({
  hidden_size: z.int().positive(),
  pad_token_id: z.int().nonnegative().nullish(),
  max_position_embeddings: z.int().positive().optional(),
})
const lengthSchema = z.object({ max_seq_length: z.int().positive().nullish() })
const poolingSchema = z.object({ pooling_mode_cls_token: z.boolean().optional() })

/**
 * Reads the description of a model folder in the layout of sentence-transformers' ONNX exports: `config.json`,
 * `tokenizer.json`, `tokenizer_config.json`, the weights under `onnx/`, and where they exist `sentence_bert_config.json`,
 * `1_Pooling/config.json` and `SHA256SUMS`, to which every file is compared. Whoever loads a file compares it once more,
 * for it may have changed meanwhile. Throws `Fatal` (`model_unusable`).
 */
export async function readModel(folder: string): Promise<Model> {
  const sums = await readChecksums(folder)
  const config = await readJson(folder, 'config.json', configSchema, sums)
  const length = await readOptionalJson(folder, 'sentence_bert_config.json', lengthSchema)
  const poolingConfig = await readOptionalJson(folder, '1_Pooling/config.json', poolingSchema)
  const pooling = poolingConfig?.pooling_mode_cls_token === true ? 'cls' : 'mean'
  const maxTokens = Math.min(
    length?.max_seq_length ?? defaultMaxTokens,
    config.max_position_embeddings ?? Number.POSITIVE_INFINITY,
  )
  const weights = await modelFile(folder, await findWeights(folder), sums)
  const tokenizer = await modelFile(folder, 'tokenizer.json', sums)
  const tokenizerConfig = await modelFile(folder, 'tokenizer_config.json', sums)
  const dimension = config.hidden_size
  const makeup = [weights.sha256, tokenizer.sha256, tokenizerConfig.sha256, pooling, 'normalised', dimension, maxTokens]
  const fingerprint = createHash('sha256').update(makeup.join(' ')).digest('hex').slice(0, 32)
  const padId = config.pad_token_id ?? 0
  return {
    name: basename(folder),
    weights,
    weightsData: [],
    tokenizer,
    tokenizerConfig,
    pooling,
    dimension,
    outputWidth: dimension,
    maxTokens,
    padId,
    prefixes: { query: '', passage: '' },
    fingerprint,
  }
}

/** Throws `Fatal` (`model_unusable`) unless the file is there with the checksum that its model calls for. */
export async function verifyFile(file: ModelFile): Promise<void> {
  const actual = await hashFile(file.path)
  if (actual !== file.sha256) throw checksumMismatch(file, actual)
}

/** The content of a small file. Throws like `verifyFile`. */
export async function readVerified(file: ModelFile): Promise<Buffer> {
  const content = await readFile(file.path).catch((error: unknown) => {
    throw unreadable(file.path, error)
  })
  verifyContent(file, content)
  return content
}

function verifyContent(file: ModelFile, content: Uint8Array): void {
  const actual = createHash('sha256').update(content).digest('hex')
  if (actual !== file.sha256) throw checksumMismatch(file, actual)
}

/** The error for a model that cannot be read, loaded or trusted. */
export function unusable(message: string, cause?: unknown): Fatal {
  return new Fatal({ code: 'model_unusable', message, cause })
}

function checksumMismatch(file: ModelFile, actual: string): Fatal {
  return unusable(
    `the model file ${file.path} is corrupt: its SHA-256 is ${actual}, expected ${file.sha256}. ` +
      'Restore the file from where the model came from, or correct SHA256SUMS if the model was changed on purpose.',
  )
}

async function findWeights(folder: string): Promise<string> {
  for (const name of weightFiles) {
    const found = await access(join(folder, name)).then(
      () => true,
      () => false,
    )
    if (found) return name
  }
  throw unusable(`the model folder ${folder} has no weights: expected one of ${weightFiles.join(', ')}.`)
}

/** A model that brings no checksum of the file is taken as it is. */
async function modelFile(folder: string, name: string, sums: ReadonlyMap<string, string>): Promise<ModelFile> {
  const path = join(folder, name)
  const actual = await hashFile(path)
  const file = { path, sha256: sums.get(name) ?? actual }
  if (actual !== file.sha256) throw checksumMismatch(file, actual)
  return file
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  try {
    await pipeline(createReadStream(path), hash)
  } catch (error) {
    throw unreadable(path, error)
  }
  return hash.digest('hex')
}

async function readChecksums(folder: string): Promise<ReadonlyMap<string, string>> {
  const text = await readFile(join(folder, 'SHA256SUMS'), 'utf8').catch(() => '')
  const sums = new Map<string, string>()
  for (const line of text.split('\n')) {
    const match = /^([0-9a-f]{64})[ *]+(.+)$/.exec(line.trim())
    if (match?.[1] !== undefined && match[2] !== undefined) sums.set(match[2], match[1])
  }
  return sums
}

async function readJson<T>(
  folder: string,
  name: string,
  schema: z.ZodType<T>,
  sums: ReadonlyMap<string, string>,
): Promise<T> {
  const path = join(folder, name)
  const content = await readFile(path).catch((error: unknown) => {
    throw unreadable(path, error)
  })
  const sha256 = sums.get(name)
  if (sha256 !== undefined) verifyContent({ path, sha256 }, content)
  try {
    return schema.parse(JSON.parse(content.toString('utf8')))
  } catch (error) {
    throw unusable(`the model file ${path} is not a model configuration: ${errorMessage(error)}.`, error)
  }
}

async function readOptionalJson<T>(folder: string, name: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const there = await access(join(folder, name)).then(
    () => true,
    () => false,
  )
  return there ? await readJson(folder, name, schema, new Map()) : undefined
}

/** The error for a model file that is missing or cannot be read. */
function unreadable(path: string, error: unknown): Fatal {
  return unusable(
    `the model file ${path} cannot be read: ${errorMessage(error)}. Check the embedder's model folder and its permissions.`,
    error,
  )
}
