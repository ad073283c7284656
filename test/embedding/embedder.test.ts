import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Fatal, InvalidInput, Retryable } from '../../src/core/errors.ts'
import { createEmbedder, type EmbedderOptions } from '../../src/embedding/embedder.ts'
import { FakeBackend } from './fake-backend.ts'
import { cosine, createLocalEmbedder, openEmbedder, sampleText, temporaryFolder } from './support.ts'

const turn = () => new Promise((resolve) => setImmediate(resolve))

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
    // In the same turn: all of the bulk work waits in front of it.
    await embedder.embed(['a question', texts[119] ?? ''], { priority: 'query' })
    expect(embedder.stats().computed).toBeLessThan(20)
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
    while (embedder.stats().computed < 2) await turn()
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

describe('over any backend', () => {
  const open = async (options: Partial<EmbedderOptions> = {}) => {
    const backend = new FakeBackend()
    const embedder = await createEmbedder({ backend, memoryBytes: 0, ...options })
    onTestFinished(() => embedder.close())
    return { backend, embedder }
  }

  it('puts the prefix of its purpose before a text, and tells the two apart', async () => {
    const { backend, embedder } = await open({ memoryBytes: 1e6 })
    const both = Promise.all([embedder.embed(['a']), embedder.embed(['a'], { purpose: 'query' })])
    await turn()
    expect(backend.works.map(({ text }) => text)).toEqual(['a', 'query: a'])
    backend.finish()
    backend.finish()
    expect(await both).toEqual([[Float32Array.of(1)], [Float32Array.of(8)]])
    expect(await embedder.embed(['a'], { purpose: 'query' })).toEqual([Float32Array.of(8)])
    expect(embedder.stats()).toMatchObject({ misses: 2, memoryHits: 1, joined: 0 })
  })

  it('takes half a surrogate pair for what it is elsewhere: no sign', async () => {
    const { backend, embedder } = await open()
    const texts = ['a\ud83d', `${'b'.repeat(2 ** 18 - 1)}🎉`, 'c🎉']
    const vectors = embedder.embed(texts)
    await turn()
    await turn()
    expect(backend.works.map(({ text }) => text.slice(-2))).toEqual(['a\ufffd', 'b\ufffd', '🎉'])
    for (const _ of texts) backend.finish()
    await vectors
  })

  it('hurries a text that a query joins', async () => {
    const { backend, embedder } = await open()
    const bulk = embedder.embed(['a', 'b'])
    const query = embedder.embed(['b'], { priority: 'query' })
    await turn()
    expect(backend.hurried.map(({ text }) => text)).toEqual(['b'])
    backend.finish(1)
    expect(await query).toEqual([Float32Array.of(1)])
    backend.finish()
    await bulk
  })

  it('fails those that wait for a text, and nobody else', async () => {
    const { backend, embedder } = await open()
    const [both, one, other] = [embedder.embed(['a', 'b']), embedder.embed(['a']), embedder.embed(['b'])]
    const failed = [both, one].map((each) => expect(each).rejects.toMatchObject({ code: 'down' }))
    await turn()
    backend.take().failed(new Retryable({ code: 'down', message: 'the server is down' }))
    await Promise.all(failed)
    backend.finish()
    expect(await other).toHaveLength(1)
    const again = embedder.embed(['a'])
    await turn()
    backend.finish()
    expect(await again).toHaveLength(1)
  })

  it('ends with a Fatal of the backend', async () => {
    const { backend, embedder } = await open()
    const waiting = [embedder.embed(['a']), embedder.embed(['b'])]
    const failed = waiting.map((each) => expect(each).rejects.toMatchObject({ code: 'model_unusable' }))
    await turn()
    backend.take().failed(new Fatal({ code: 'model_unusable', message: 'it is broken' }))
    await Promise.all(failed)
    await expect(embedder.embed(['c'])).rejects.toThrow('it is broken')
    await expect(embedder.countTokens(['c'])).rejects.toThrow('it is broken')
    expect(backend.works).toHaveLength(1)
  })

  it('keeps its bounds and answers everyone, in any order of things', async () => {
    const step = fc.oneof(
      fc.record({ embed: fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 12 }), query: fc.boolean() }),
      fc.record({ finish: fc.nat(20) }),
      fc.record({ fail: fc.nat(20) }),
      fc.record({ abort: fc.nat(10) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const bounds = { texts: 5, characters: 60 }
        const { backend, embedder } = await open({ bounds })
        const calls: { promise: Promise<unknown>; lengths: number[]; caller: AbortController }[] = []
        const check = () => {
          for (const priority of ['query', 'bulk']) {
            const works = backend.works.filter((work) => work.priority === priority)
            expect(works.length).toBeLessThanOrEqual(bounds.texts)
            const characters = works.reduce((sum, { text }) => sum + text.length, 0)
            if (works.length > 1) expect(characters).toBeLessThanOrEqual(bounds.characters)
          }
          expect(new Set(backend.works.map(({ text }) => text)).size).toBe(backend.works.length)
        }
        for (const each of steps) {
          if ('embed' in each) {
            const caller = new AbortController()
            const texts = each.embed.map((length) => 'x'.repeat(length))
            const priority = each.query ? 'query' : 'bulk'
            const promise = embedder.embed(texts, { priority, signal: caller.signal }).catch((error: unknown) => error)
            calls.push({ promise, lengths: each.embed, caller })
          } else if ('abort' in each) {
            const call = calls[each.abort]
            call?.caller.abort(new Error('given up'))
          } else if (backend.works.length > 0) {
            const at = ('finish' in each ? each.finish : each.fail) % backend.works.length
            const work = backend.works[at]
            if (work?.wanted() === false) backend.take(at).dropped()
            else if ('finish' in each) backend.finish(at)
            else backend.take(at).failed(new InvalidInput({ code: 'text_not_embeddable', message: 'no' }))
          }
          await turn()
          check()
        }
        while (embedder.stats().queueDepth + embedder.stats().callersWaiting > 0) {
          while (backend.works.length > 0) backend.finish()
          await turn()
          check()
        }
        for (const { promise, lengths } of calls) {
          const answer = await promise
          if (answer instanceof Error) expect(answer.message).toMatch(/^(given up|no)$/)
          else expect(answer).toEqual(lengths.map((length) => Float32Array.of(length)))
        }
        expect(embedder.stats()).toMatchObject({ queueDepth: 0, callersWaiting: 0 })
      }),
      { numRuns: 60 },
    )
  })
})
