import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { onTestFinished } from 'vitest'
import { createEmbedder, type EmbedderOptions, type LocalEmbedder } from '../../src/embedding/embedder.ts'

export const modelFolder = resolve(import.meta.dirname, '../../models/all-MiniLM-L6-v2')

/** An embedder for one test; without a cache unless the options give one. */
export async function openEmbedder(options: Partial<EmbedderOptions> = {}): Promise<LocalEmbedder> {
  const embedder = await createEmbedder({ model: modelFolder, workers: 1, memoryBytes: 0, ...options })
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
const words = vocabulary.split(' ')

/** A text of so many words, different for each seed and the same each time. */
export function sampleText(wordCount: number, seed: number): string {
  let state = (seed + 1) * 2_654_435_761
  const chosen = Array.from({ length: wordCount }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return words[state % words.length]
  })
  return `${chosen.join(' ')} ${seed}`
}
