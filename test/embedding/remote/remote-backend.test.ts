import { EventEmitter, once } from 'node:events'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Fatal, InvalidInput, Retryable } from '../../../src/core/errors.ts'
import { until } from '../../support/api.ts'
import { base64Of, FakeOpenAi, type Fault, type RightAnswer } from './fake-openai.ts'
import { openBackend, outcomes, RecordedWork, rightVector, submit } from './work.ts'

const numbered = (count: number, name = 'text') => Array.from({ length: count }, (_, index) => `${name} ${index}`)

describe('requests', () => {
  test('what is submitted in one turn goes together, oldest first, in requests of so many texts', async () => {
    await using server = await FakeOpenAi.start()
    const backend = await openBackend(server.url, { batch: 4, concurrency: 1 })
    const texts = numbered(10)
    expect(await outcomes(submit(backend, texts))).toEqual(texts.map((text) => rightVector(text)))
    expect(server.batches).toEqual([texts.slice(0, 4), texts.slice(4, 8), texts.slice(8)])
    expect(backend.stats()).toMatchObject({ computed: 10, tokens: 10, batches: 3, threads: 1, restarts: 0 })
  })

  test('a request holds no more tokens than it may, but at least one text', async () => {
    await using server = await FakeOpenAi.start()
    const backend = await openBackend(server.url, { batchTokens: 10, concurrency: 1 })
    await outcomes(submit(backend, ['abc abc abc', 'abc abc', 'a'.repeat(90), 'abc', 'abc']))
    expect(server.batches.map((batch) => batch.length)).toEqual([2, 1, 2])
  })

  test('bulk work gathers while a request is under way, and a text alone does not wait', async () => {
    const gathered = new EventEmitter()
    const fault = first(1, { after: once(gathered, 'done') })
    await using server = await FakeOpenAi.start({ fault })
    const backend = await openBackend(server.url)
    const works = submit(backend, ['first'])
    await until(async () => server.batches.length === 1)
    works.push(...submit(backend, ['a']))
    await new Promise((resolve) => setTimeout(resolve, 5))
    works.push(...submit(backend, ['b', 'c']))
    gathered.emit('done')
    await outcomes(works)
    expect(server.batches).toEqual([['first'], ['a', 'b', 'c']])
  })

  test('so many are under way at once, and one of them is kept for queries', async () => {
    await using server = await FakeOpenAi.start({ delayMs: 60 })
    const backend = await openBackend(server.url, { batch: 1, concurrency: 3 })
    await outcomes(submit(backend, numbered(8)))
    expect(server.mostAtOnce).toBe(2)
    await outcomes([...submit(backend, numbered(8)), ...submit(backend, numbered(8, 'query'), 'query')])
    expect(server.mostAtOnce).toBe(3)
  })

  test('queries overtake bulk work, which is not starved', async () => {
    await using server = await FakeOpenAi.start()
    const backend = await openBackend(server.url, { batch: 1, concurrency: 1 })
    await outcomes([...submit(backend, numbered(3, 'bulk')), ...submit(backend, numbered(12, 'query'), 'query')])
    const kinds = server.batches.map(([text = '']) => text.slice(0, 1)).join('')
    expect(kinds).toBe('qqqqbqqqqbqqqqb')
  })

  test('a text that someone has come to wait for goes first', async () => {
    await using server = await FakeOpenAi.start()
    const backend = await openBackend(server.url, { batch: 1, concurrency: 1 })
    const works = submit(backend, numbered(3))
    const [, , last] = works
    if (last !== undefined) backend.hurry(last)
    await outcomes(works)
    expect(server.batches).toEqual([['text 2'], ['text 0'], ['text 1']])
  })

  test('a text that nobody waits for any more is not sent', async () => {
    await using server = await FakeOpenAi.start()
    const backend = await openBackend(server.url)
    const works = submit(backend, numbered(3))
    for (const work of works.slice(0, 2)) work.isWanted = false
    expect(await outcomes(works)).toEqual(['dropped', 'dropped', rightVector('text 2')])
    expect(server.batches).toEqual([['text 2']])
  })

  test('closing ends what is under way', async () => {
    await using server = await FakeOpenAi.start({
      fault: (_, count) => (count === 0 ? undefined : { delayMs: 60_000 }),
    })
    const backend = await openBackend(server.url)
    const works = submit(backend, ['slow'])
    await until(async () => server.batches.length === 1)
    await backend.close()
    expect(await outcomes(works)).toEqual([expect.objectContaining({ code: 'embedder_closed' })])
  })
})

/** The fault for the first so many requests after the probe. */
function first(times: number, fault: Fault) {
  return (_: unknown, count: number) => (count > 0 && count <= times ? fault : undefined)
}

describe('a server that is down or busy', () => {
  test.each<[string, Fault]>([
    ['500', { status: 500 }],
    ['408', { status: 408 }],
    ['429 with a moment to wait', { status: 429, headers: { 'retry-after-ms': '30' } }],
    ['429 with a reset', { status: 429, headers: { 'x-ratelimit-reset-requests': '30ms' } }],
    ['a broken connection', { hangUp: true }],
    ['an answer that is no JSON object', { json: () => 'oops' }],
  ])('%s is asked again', async (_, fault) => {
    await using server = await FakeOpenAi.start({ fault: first(2, fault) })
    const backend = await openBackend(server.url)
    expect(await outcomes(submit(backend, ['a']))).toEqual([rightVector('a')])
    expect(server.batches).toHaveLength(3)
  })

  test('it is left alone for as long as it asks', async () => {
    const fault = first(1, { status: 429, headers: { 'retry-after': '1' } })
    await using server = await FakeOpenAi.start({ fault })
    const backend = await openBackend(server.url)
    expect(await outcomes(submit(backend, ['a']))).toEqual([rightVector('a')])
    const [refused, next] = server.asked.slice(1)
    expect((next?.at ?? 0) - (refused?.at ?? 0)).toBeGreaterThanOrEqual(990)
  })

  test('who waits is told at once if it wants to be left alone for long, and why', async () => {
    const date = new Date(Date.now() + 40_000).toUTCString()
    const json = () => ({ error: { message: 'too many requests' } })
    const fault = first(1, { status: 429, headers: { 'retry-after': date }, json })
    await using server = await FakeOpenAi.start({ fault })
    const backend = await openBackend(server.url)
    const told = { code: 'embedder_unavailable', message: expect.stringContaining('429: too many requests') }
    for (const [error] of [await outcomes(submit(backend, ['a'])), await outcomes(submit(backend, ['b'], 'query'))]) {
      expect(error).toBeInstanceOf(Retryable)
      expect(error).toMatchObject(told)
      expect(error instanceof Retryable ? error.delayMs : 0).toBeGreaterThan(30_000)
    }
    expect(server.batches).toEqual([['a']])
  })

  test('after some tries who waits is told, and later texts are sent again', async () => {
    await using server = await FakeOpenAi.start({ fault: first(3, { status: 502 }) })
    const backend = await openBackend(server.url)
    const [error] = await outcomes(submit(backend, ['a']))
    expect(error).toBeInstanceOf(Retryable)
    expect(error).toMatchObject({ message: expect.stringContaining('answered 502') })
    expect(await outcomes(submit(backend, ['a']))).toEqual([rightVector('a')])
  })

  test.each([
    [401, 'apiKey'],
    [404, 'embedder.model'],
  ])(
    'one that has served before and answers %i may do so again: texts wait, and it is left alone',
    async (status, setting) => {
      await using server = await FakeOpenAi.start({ fault: first(1, { status }) })
      const backend = await openBackend(server.url)
      for (const text of ['a', 'b']) {
        const [error] = await outcomes(submit(backend, [text]))
        expect(error).toBeInstanceOf(Retryable)
        expect(error).toMatchObject({ code: 'embedder_unavailable', hint: expect.stringContaining(setting) })
        expect(error instanceof Retryable ? error.delayMs : 0).toBeGreaterThan(5_000)
      }
      expect(server.batches).toEqual([['a']])
    },
  )

  test('one that hangs is given up, and how each request ended is told', async () => {
    await using server = await FakeOpenAi.start({ fault: first(1, { delayMs: 10_000 }) })
    const ended: string[] = []
    const backend = await openBackend(server.url, { timeout: 100, observe: (outcome) => ended.push(outcome) })
    expect(await outcomes(submit(backend, ['a']))).toEqual([rightVector('a')])
    // Its models cannot be listed; the probe; the request, twice.
    expect(ended).toEqual(['error', 'ok', 'timeout', 'ok'])
  })

  test('an answer without an end is not held', async () => {
    const json = () => ({ data: 'x'.repeat(2_000_000) })
    await using server = await FakeOpenAi.start({ fault: first(3, { json }) })
    const backend = await openBackend(server.url)
    const [error] = await outcomes(submit(backend, ['a']))
    expect(error).toMatchObject({ code: 'embedder_unavailable', message: expect.stringMatching(/more than \d+ bytes/) })
  })
})

describe('a text that cannot be embedded', () => {
  test('fails alone, and the others of its request have their vectors', async () => {
    await using server = await FakeOpenAi.start({ poison: 'poison' })
    const backend = await openBackend(server.url)
    const texts = numbered(21).with(13, 'poison')
    const ends = await outcomes(submit(backend, texts))
    const [blamed] = ends.splice(13, 1)
    expect(blamed).toBeInstanceOf(InvalidInput)
    expect(blamed).toMatchObject({
      code: 'text_not_embeddable',
      message: expect.stringContaining('one input is not valid'),
    })
    expect(ends).toEqual(texts.toSpliced(13, 1).map((text) => rightVector(text)))
  })

  test.each([413, 422])('a request that is refused with %i is sent in halves', async (status) => {
    const fault = ({ body }: { body: { input: string[] } }) => (body.input.length > 3 ? { status } : undefined)
    await using server = await FakeOpenAi.start({ fault })
    const backend = await openBackend(server.url)
    const texts = numbered(9)
    expect(await outcomes(submit(backend, texts))).toEqual(texts.map((text) => rightVector(text)))
  })

  test('is not blamed when the server refuses every text', async () => {
    await using server = await FakeOpenAi.start({ fault: (_, count) => (count > 0 ? { status: 400 } : undefined) })
    const backend = await openBackend(server.url)
    const [error] = await outcomes(submit(backend, ['good']))
    expect(error).toBeInstanceOf(Retryable)
    expect(error).toMatchObject({ code: 'embedder_unavailable', hint: expect.stringContaining('refuses every text') })
  })

  test.each([
    ['vLLM', 400, "This model's maximum context length is 512 tokens. However, you requested 734 tokens."],
    ['text-embeddings-inference', 413, '`inputs` must have less than 512 tokens. Given: 734'],
    ['llama.cpp', 500, 'input (734 tokens) is too large to process. increase the physical batch size'],
    ['Ollama', 400, 'the input length exceeds the context length'],
  ])('for its length is embedded as far as %s takes it', async (_, status, message) => {
    const fault = ({ body }: { body: { input: string[] } }) =>
      body.input.some((text) => text.length > 2_000) ? { status, json: () => ({ error: { message } }) } : undefined
    await using server = await FakeOpenAi.start({ fault })
    const backend = await openBackend(server.url)
    const long = 'word '.repeat(1_000)
    expect(await outcomes(submit(backend, [long, 'short']))).toEqual([
      rightVector(long.slice(0, 1_250)),
      rightVector('short'),
    ])
    expect(backend.stats().truncated).toBe(1)
  })

  test('for its length is embedded as far as it may go', async () => {
    const warnings: string[] = []
    const fault = ({ body }: { body: { input: string[] } }) =>
      body.input.some((text) => text.length > 30_000) ? { status: 400 } : undefined
    await using server = await FakeOpenAi.start({ fault })
    const backend = await openBackend(server.url, { warn: (message) => warnings.push(message) })
    const [vector, short] = await outcomes(submit(backend, ['word '.repeat(10_000), 'short']))
    expect(vector).toEqual(rightVector('word '.repeat(8_191).slice(0, 4_095 * 5 + 3)))
    expect(short).toEqual(rightVector('short'))
    expect(backend.stats().truncated).toBe(1)
    expect(warnings).toHaveLength(1)
  })

  test.each([
    ['zeros', new Float32Array(8)],
    ['no numbers', new Float32Array(8).fill(Number.NaN)],
    ['endless numbers', new Float32Array(8).fill(Number.POSITIVE_INFINITY)],
  ])('for its vector would be of %s fails alone', async (_, bad) => {
    const json = (right: RightAnswer) => ({ data: right.data.with(1, { index: 1, embedding: base64Of(bad) }) })
    await using server = await FakeOpenAi.start({ fault: first(1, { json }) })
    const backend = await openBackend(server.url)
    expect(await outcomes(submit(backend, ['a', 'b', 'c']))).toEqual([
      rightVector('a'),
      expect.objectContaining({ code: 'text_not_embeddable' }),
      rightVector('c'),
    ])
  })
})

describe('an answer', () => {
  test('in another order is put in order by its indexes', async () => {
    const json = ({ data }: RightAnswer) => ({ data: data.toReversed() })
    await using server = await FakeOpenAi.start({ fault: () => ({ json }) })
    const backend = await openBackend(server.url)
    const texts = numbered(5)
    expect(await outcomes(submit(backend, texts))).toEqual(texts.map((text) => rightVector(text)))
  })

  test.each<[string, (right: RightAnswer) => unknown]>([
    ['1 vectors for 2 texts', ({ data }) => ({ data: data.slice(1) })],
    [
      'data.1.index',
      ({ data }) => ({ data: data.map(({ index, ...rest }) => (index === 1 ? rest : { index, ...rest })) }),
    ],
    ['the index 0', ({ data }) => ({ data: data.map((each) => ({ ...each, index: 0 })) })],
    ['the index 2', ({ data }) => ({ data: data.map((each) => ({ ...each, index: each.index + 1 })) })],
    ['no base64', ({ data }) => ({ data: data.map((each) => ({ ...each, embedding: 'AAA=' })) })],
    ['neither a list', ({ data }) => ({ data: data.map(({ index }) => ({ index, embedding: {} })) })],
  ])('that does not say which vector is whose is none: %s', async (said, json) => {
    await using server = await FakeOpenAi.start({ fault: (_, count) => (count > 0 ? { json } : undefined) })
    const backend = await openBackend(server.url)
    const [error] = await outcomes(submit(backend, ['a', 'b']))
    expect(error).toBeInstanceOf(Retryable)
    expect(error).toMatchObject({ message: expect.stringContaining(said) })
  })

  test('with vectors of another dimension is of another model', async () => {
    const json = ({ data }: RightAnswer) => ({ data: data.map(({ index }) => ({ index, embedding: [1, 2, 3] })) })
    await using server = await FakeOpenAi.start({ fault: (_, count) => (count > 0 ? { json } : undefined) })
    const backend = await openBackend(server.url)
    const [error] = await outcomes(submit(backend, ['a', 'b']))
    expect(error).toBeInstanceOf(Fatal)
    expect(error).toMatchObject({ message: expect.stringContaining('another model') })
  })
})

test('whatever goes wrong, each text ends once, with its own vector or with an error', async () => {
  const fault = fc.constantFrom<Fault | undefined>(
    undefined,
    undefined,
    undefined,
    { status: 500, headers: { 'retry-after-ms': '0' } },
    { status: 429, headers: { 'retry-after-ms': '1' } },
    { status: 413 },
    { hangUp: true },
    { json: ({ data }) => ({ data: data.toReversed() }) },
    { json: ({ data }) => ({ data: data.slice(1) }), headers: { 'retry-after-ms': '0' } },
  )
  const text = fc.record({
    text: fc.oneof(
      { weight: 5, arbitrary: fc.string({ maxLength: 20 }) },
      { weight: 1, arbitrary: fc.constant('poison') },
    ),
    priority: fc.constantFrom('query', 'bulk'),
    wanted: fc.integer({ max: 9, min: 0 }).map((chance) => chance > 0),
  })
  const run = fc.record({
    faults: fc.array(fault, { maxLength: 6 }),
    turns: fc.array(fc.array(text, { maxLength: 12 }), { minLength: 1, maxLength: 4 }),
    batch: fc.integer({ min: 1, max: 6 }),
    concurrency: fc.integer({ min: 1, max: 3 }),
  })
  await fc.assert(
    fc.asyncProperty(run, async ({ faults, turns, batch, concurrency }) => {
      const fault = (_: unknown, count: number) => faults[count - 1]
      await using server = await FakeOpenAi.start({ fault, poison: 'poison' })
      const backend = await openBackend(server.url, { batch, concurrency })
      const works: RecordedWork[] = []
      for (const turn of turns) {
        for (const { text, priority, wanted } of turn) {
          const work = new RecordedWork(text, priority === 'query' ? 'query' : 'bulk')
          work.isWanted = wanted
          backend.submit(work)
          works.push(work)
        }
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
      await outcomes(works)
      await backend.close()
      for (const { text, outcomes: ends, isWanted } of works) {
        expect(ends).toHaveLength(1)
        const [end] = ends
        if (end instanceof Float32Array) expect(end).toEqual(rightVector(text))
        else if (end === 'dropped') expect(isWanted).toBe(false)
        else
          expect(end).toMatchObject({
            code: expect.stringMatching(/^(text_not_embeddable|embedder_unavailable|model_unusable)$/),
          })
        if (text === 'poison') expect(end).not.toBeInstanceOf(Float32Array)
      }
      expect(server.mostAtOnce).toBeLessThanOrEqual(concurrency)
    }),
    { numRuns: 25 },
  )
}, 60_000)
