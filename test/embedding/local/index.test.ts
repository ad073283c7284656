import { cp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { Fatal } from '../../../src/core/errors.ts'
import type { CachingEmbedder } from '../../../src/embedding/embedder.ts'
import { openLocalBackend } from '../../../src/embedding/local/index.ts'
import { readModel } from '../../../src/embedding/models/model.ts'
import {
  cosine,
  createLocalEmbedder,
  modelFolder,
  openEmbedder,
  sampleText,
  temporaryFolder,
  words,
} from '../support.ts'

describe('vectors', () => {
  let embedder: CachingEmbedder
  const warnings: string[] = []
  beforeAll(async () => {
    const warn = (message: string) => warnings.push(message)
    embedder = await createLocalEmbedder({ workers: 2, warn })
  })
  afterAll(() => embedder.close())

  it('describe themselves', () => {
    expect(embedder).toMatchObject({ model: 'all-MiniLM-L6-v2', dimension: 384, maxTokens: 256 })
    expect(embedder.fingerprint).toMatch(/^[0-9a-f]{32}$/)
  })

  it('have length 1 and memory of their own', async () => {
    const vectors = await embedder.embed(['', 'one', 'two words', '日本語 🎉'])
    expect(vectors.map((vector) => vector.length)).toEqual([384, 384, 384, 384])
    for (const vector of vectors) {
      expect(cosine(vector, vector)).toBeCloseTo(1, 5)
      expect(vector.buffer.byteLength).toBe(384 * 4)
    }
  })

  it('are near for like meanings only', async () => {
    const [refund, money, cat] = await embedder.embed([
      'How do I get a refund?',
      'I want my money back',
      'The cat sat on the mat',
    ])
    expect(cosine(refund, money)).toBeGreaterThan(0.5)
    expect(cosine(refund, cat)).toBeLessThan(0.2)
  })

  it('do not depend on what shares their batch', async () => {
    const mixed = Array.from({ length: 60 }, (_, seed) => sampleText((seed * 13) % 140, seed))
    const equal = Array.from({ length: 40 }, (_, seed) => `${'refund '.repeat(10)}${words[seed % words.length]}`)
    const together = [...(await embedder.embed(mixed)), ...(await embedder.embed(equal))]
    for (const at of [0, 7, 23, 41, 59, 60, 75, 99]) {
      const [alone] = await embedder.embed([[...mixed, ...equal][at] ?? ''])
      expect(cosine(alone, together[at])).toBeGreaterThan(0.99999)
    }
  })

  it('see no more than 256 tokens, and long texts are counted as cut', async () => {
    const before = embedder.stats().truncated
    const start = 'word '.repeat(254)
    const [exact, longer, other, huge] = await embedder.embed([
      start,
      `${start}refund`,
      `refund ${start}`,
      start + sampleText(200_000, 1),
    ])
    expect(cosine(exact, longer)).toBeGreaterThan(0.99999)
    expect(cosine(exact, huge)).toBeGreaterThan(0.99999)
    expect(cosine(exact, other)).toBeLessThan(0.99)
    expect(embedder.stats().truncated - before).toBe(3)
    expect(warnings).toEqual(['texts of more than 256 tokens are embedded only up to there'])
  })

  it('see what stands behind long stretches of white space', async () => {
    const [near, far] = await embedder.embed(['charged twice', `charged${' '.repeat(20_000)}twice`])
    expect(cosine(near, far)).toBeGreaterThan(0.99999)
  })

  it('answer nothing for nothing', async () => {
    expect(await embedder.embed([])).toEqual([])
    expect(await embedder.countTokens([])).toEqual([])
  })

  it('come with token counts, which add up over words', async () => {
    expect(await embedder.countTokens(['', 'hello world', 'unbelievable!', 'a b\nc'])).toEqual([0, 2, 2, 3])
    const long = sampleText(20_000, 3)
    const [whole, ...parts] = await embedder.countTokens([long, ...long.split(' ')])
    expect(parts.reduce((sum, count) => sum + count, 0)).toBe(whole)
  })
})

describe('a thread that ends', () => {
  it('is replaced, and takes only the text with it that ended it twice', async () => {
    const warnings: string[] = []
    const embedder = await openEmbedder({ crashOn: 'deadly', warn: (message) => warnings.push(message) })
    // So many that several batches are in the thread when it ends.
    const harmless = Array.from({ length: 200 }, (_, n) => `harmless text number ${n}`)
    const [poisoned, first, second] = await Promise.allSettled([
      embedder.embed(['deadly', 'beside it']),
      embedder.embed(harmless),
      embedder.embed(['beside it']),
    ])
    expect(poisoned).toMatchObject({ status: 'rejected', reason: { code: 'text_not_embeddable' } })
    expect([first.status, second.status]).toEqual(['fulfilled', 'fulfilled'])
    expect(await embedder.embed(['afterwards'])).toHaveLength(1)
    expect(embedder.stats()).toMatchObject({ computed: 202, restarts: 2, threads: 1, queueDepth: 0 })
    expect(warnings).toHaveLength(2)
  })

  it('of the tokenizer is replaced likewise, and what is counted with it', async () => {
    const embedder = await openEmbedder({ crashTokenizerOn: 'deadly' })
    const [poisoned, counted, counts, vectors] = await Promise.allSettled([
      embedder.embed(['deadly']),
      embedder.countTokens(['deadly', 'beside it']),
      embedder.countTokens(['a text']),
      embedder.embed(Array.from({ length: 200 }, (_, n) => `harmless text number ${n}`)),
    ])
    expect(poisoned).toMatchObject({ reason: { code: 'text_not_embeddable' } })
    expect(counted).toMatchObject({ reason: { code: 'text_not_countable' } })
    expect(counts).toMatchObject({ value: [2] })
    expect(vectors.status).toBe('fulfilled')
    expect(embedder.stats()).toMatchObject({ computed: 200, restarts: 4 })
  })

  it('and cannot be loaded again ends the embedder, and no text is blamed', async () => {
    const folder = await temporaryFolder()
    await cp(modelFolder, folder, { recursive: true })
    const embedder = await openEmbedder({ model: folder, crashOn: 'deadly' })
    await embedder.embed(['a text'])
    const weights = join(folder, 'onnx/model_quantized.onnx')
    await writeFile(weights, (await readFile(weights)).subarray(1))
    const texts = Array.from({ length: 200 }, (_, n) => `harmless text number ${n}`)
    const lost = await Promise.allSettled([embedder.embed(['deadly']), embedder.embed(texts)])
    for (const each of lost) expect(each).toMatchObject({ reason: { code: 'model_unusable' } })
    await expect(embedder.embed(['later'])).rejects.toThrow(Fatal)
    await expect(embedder.countTokens(['later'])).rejects.toThrow(
      /has changed since this process began .* start this process again/,
    )
    expect(embedder.stats().queueDepth).toBe(0)
  })
})

describe('counting', () => {
  it('does not wait for the model', async () => {
    const embedder = await openEmbedder()
    await embedder.embed(['warm'])
    const bulk = embedder.embed(Array.from({ length: 200 }, (_, seed) => sampleText(100, seed)))
    const counts = await embedder.countTokens(Array.from({ length: 50 }, () => 'two words'))
    expect(counts).toEqual(new Array(50).fill(2))
    expect(embedder.stats().computed).toBeLessThan(100)
    await bulk
  })
})

describe('a backend that is closed', () => {
  it('finishes what runs, and calls nothing for what has not begun', async () => {
    const backend = openLocalBackend({ model: await readModel(modelFolder), workers: 1 })
    onTestFinished(() => backend.close())
    let done = 0
    let others = 0
    const began = new Promise<void>((resolve) => {
      for (let n = 0; n < 500; n++) {
        backend.submit({
          text: sampleText(60, n),
          priority: 'bulk',
          wanted: () => true,
          done: () => {
            done++
            resolve()
          },
          failed: () => others++,
          dropped: () => others++,
        })
      }
    })
    await began
    await backend.close()
    const after = done
    expect(after).toBeLessThan(100)
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect([done, others]).toEqual([after, 0])
  })

  it('may be one that still loads', async () => {
    const embedder = await createLocalEmbedder()
    const waiting = expect(embedder.embed(['a text'])).rejects.toMatchObject({ code: 'embedder_closed' })
    await embedder.close()
    await waiting
  })
})
