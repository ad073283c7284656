import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { onTestFinished } from 'vitest'
import { type CachingEmbedder, createEmbedder, type EmbedderOptions } from '../../src/embedding/embedder.ts'
import { type LocalBackendOptions, openLocalBackend } from '../../src/embedding/local/index.ts'
import { readModel } from '../../src/embedding/models/model.ts'

export const modelFolder = resolve(import.meta.dirname, '../../models/all-MiniLM-L6-v2')

type Options = Omit<EmbedderOptions, 'backend'> & Omit<LocalBackendOptions, 'model'> & { readonly model?: string }

/** An embedder of the model in a folder, the default one by itself; with one worker and no cache if not said otherwise. */
export async function createLocalEmbedder(options: Options = {}): Promise<CachingEmbedder> {
  const { model = modelFolder, workers = 1, crashOn, crashTokenizerOn, ...front } = options
  const backend = openLocalBackend({
    ...{ model: await readModel(model), workers, crashOn, crashTokenizerOn },
    warn: front.warn,
  })
  return createEmbedder({ backend, memoryBytes: 0, ...front })
}

/** The same for one test. */
export async function openEmbedder(options: Options = {}): Promise<CachingEmbedder> {
  const embedder = await createLocalEmbedder(options)
  onTestFinished(() => embedder.close())
  return embedder
}

export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

export function cosine(a: Float32Array | undefined, b: Float32Array | undefined): number {
  if (a === undefined || b === undefined) throw new Error('a vector is missing')
  return a.reduce((sum, value, index) => sum + value * (b[index] ?? Number.NaN), 0)
}

const vocabulary =
  'the a of and to in for with service invoice payment customer outage deploy stream event vector database latency ' +
  'question answer refund subscription browser socket cluster partition offset unbelievable configuration retry'
export const words = vocabulary.split(' ')

/** A text of so many words, different for each seed and the same each time. */
export function sampleText(wordCount: number, seed: number): string {
  let state = (seed + 1) * 2_654_435_761
  const chosen = Array.from({ length: wordCount }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return words[state % words.length]
  })
  return `${chosen.join(' ')} ${seed}`
}
