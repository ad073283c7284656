import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { CachingEmbedder } from '../../src/embedding/embedder.ts'
import { cosine, createLocalEmbedder, openEmbedder, sampleText, temporaryFolder } from './support.ts'

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
    const texts = Array.from({ length: 60 }, (_, seed) => sampleText((seed * 13) % 140, seed))
    const together = await embedder.embed(texts)
    for (const at of [0, 7, 23, 41, 59]) {
      const [alone] = await embedder.embed([texts[at] ?? ''])
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

  it('leave the main thread free', async () => {
    const delay = monitorEventLoopDelay({ resolution: 1 })
    delay.enable()
    await embedder.embed(Array.from({ length: 300 }, (_, seed) => sampleText(5 + (seed % 60), seed)))
    delay.disable()
    // A batch on the main thread would take 70 ms and more; the machine may be busy with other tests.
    expect(delay.percentile(99) / 1e6).toBeLessThan(40)
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

describe('the queue', () => {
  it('computes identical texts in flight once', async () => {
    const embedder = await openEmbedder()
    const texts = ['the same text', 'another', 'the same text']
    const answers = await Promise.all([embedder.embed(texts), embedder.embed(texts), embedder.embed(['another'])])
    expect(embedder.stats()).toMatchObject({ computed: 2, joined: 5, queueDepth: 0 })
    expect(cosine(answers[0][0], answers[1][2])).toBeCloseTo(1, 5)
  })

  it('holds no more than its bound, and callers wait', async () => {
    const embedder = await openEmbedder({ bounds: { texts: 8, characters: 100_000 } })
    const calls = [0, 1].map((call) => embedder.embed(Array.from({ length: 30 }, (_, n) => `text ${call} ${n}`)))
    let deepest = 0
    let waiting = 0
    const watch = setInterval(() => {
      deepest = Math.max(deepest, embedder.stats().queueDepth)
      waiting = Math.max(waiting, embedder.stats().callersWaiting)
    }, 1)
    const answers = await Promise.all(calls)
    clearInterval(watch)
    expect(answers.map((vectors) => vectors.length)).toEqual([30, 30])
    expect([deepest, waiting]).toEqual([8, 2])
    expect(embedder.stats()).toMatchObject({ computed: 60, queueDepth: 0, callersWaiting: 0 })
  })

  it('lets a query overtake bulk work, also one for a text that already waits', async () => {
    const embedder = await openEmbedder()
    await embedder.embed(['warm'])
    const texts = Array.from({ length: 120 }, (_, seed) => sampleText(60, seed))
    const bulk = embedder.embed(texts)
    await sleep(20)
    await embedder.embed(['a question', texts[119] ?? ''], { priority: 'query' })
    expect(embedder.stats().computed).toBeLessThan(60)
    expect(await bulk).toHaveLength(120)
    expect(embedder.stats().computed).toBe(122)
  })

  it('drops what its caller has given up', async () => {
    const embedder = await openEmbedder({ bounds: { texts: 20, characters: 100_000 } })
    await embedder.embed(['warm'])
    const caller = new AbortController()
    const given = embedder.embed(
      Array.from({ length: 100 }, (_, seed) => sampleText(80, seed)),
      { signal: caller.signal },
    )
    await sleep(20)
    caller.abort(new Error('no longer needed'))
    await expect(given).rejects.toThrow('no longer needed')
    expect(await embedder.embed(['next'])).toHaveLength(1)
    expect(embedder.stats().computed).toBeLessThan(40)
    await expect(embedder.embed(['never'], { signal: caller.signal })).rejects.toThrow('no longer needed')
  })

  it('rejects what waits when it is closed', async () => {
    const embedder = await openEmbedder()
    const waiting = embedder.embed(Array.from({ length: 100 }, (_, seed) => sampleText(80, seed)))
    const counting = embedder.countTokens(['a text'])
    const rejected = Promise.all([
      expect(waiting).rejects.toMatchObject({ code: 'embedder_closed' }),
      expect(counting).rejects.toMatchObject({ code: 'embedder_closed' }),
    ])
    await embedder.close()
    await rejected
    await expect(embedder.embed(['late'])).rejects.toMatchObject({ code: 'embedder_closed' })
  })
})

describe('the cache', () => {
  it('answers from memory', async () => {
    const embedder = await openEmbedder({ memoryBytes: 10_000_000 })
    const [first] = await embedder.embed(['a text'])
    const [again] = await embedder.embed(['a text'])
    expect(again).toEqual(first)
    expect(embedder.stats()).toMatchObject({ computed: 1, memoryHits: 1, diskHits: 0 })
  })

  it('answers from disk after a restart', async () => {
    const disk = { folder: await temporaryFolder() }
    const before = await createLocalEmbedder({ disk })
    const vectors = await before.embed(['one', 'two'])
    await before.close()

    const after = await openEmbedder({ disk })
    expect(await after.embed(['two', 'one'])).toEqual([vectors[1], vectors[0]])
    expect(after.stats()).toMatchObject({ computed: 0, diskHits: 2 })
  })
})

describe('a thread that dies', () => {
  it('is replaced, and takes only the text with it that killed it twice', async () => {
    const warnings: string[] = []
    const embedder = await openEmbedder({ crashOn: 'deadly', warn: (message) => warnings.push(message) })
    const harmless = Array.from({ length: 5 }, (_, n) => `harmless ${n}`)
    const [poisoned, first, second] = await Promise.allSettled([
      embedder.embed(['deadly', 'beside it']),
      embedder.embed(harmless),
      embedder.embed(['beside it']),
    ])
    expect(poisoned).toMatchObject({ status: 'rejected', reason: { code: 'text_not_embeddable' } })
    expect([first.status, second.status]).toEqual(['fulfilled', 'fulfilled'])
    expect(await embedder.embed(['afterwards'])).toHaveLength(1)
    expect(embedder.stats()).toMatchObject({ restarts: 2, threads: 1, queueDepth: 0 })
    expect(warnings).toHaveLength(2)
  })
})
