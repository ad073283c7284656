import { expect, test } from 'vitest'
import { Fatal, Retryable } from '../../../src/core/errors.ts'
import { until } from '../../support/api.ts'
import { FakeOpenAi, type FakeOptions } from './fake-openai.ts'
import { openBackend, outcomes, rightVector, submit } from './work.ts'

const texts = ['one', 'two', 'three']

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  )
}

test.each<FakeOptions>([{}, { base64: 'ignored' }, { base64: 'refused' }])(
  'vectors of length 1, from a server %o',
  async (options) => {
    await using server = await FakeOpenAi.start(options)
    const backend = await openBackend(server.url)
    expect(backend).toMatchObject({
      model: 'letters',
      dimension: 8,
      maxTokens: 8_191,
      prefixes: { query: '', passage: '' },
    })
    expect(await outcomes(submit(backend, texts))).toEqual(texts.map((text) => rightVector(text)))
  },
)

test.each<FakeOptions['dimensions']>(['honoured', 'ignored', 'refused'])(
  'a dimension that is %s by the server is the one that was asked for',
  async (dimensions) => {
    await using server = await FakeOpenAi.start({ dimensions })
    const backend = await openBackend(server.url, { dimension: 3 })
    expect(backend.dimension).toBe(3)
    expect(await outcomes(submit(backend, texts))).toEqual(texts.map((text) => rightVector(text, 3)))
  },
)

test('more dimensions than the model has are refused', async () => {
  await using server = await FakeOpenAi.start({ dimensions: 'ignored' })
  const error = await failure(openBackend(server.url, { dimension: 9 }))
  expect(error).toBeInstanceOf(Fatal)
  expect(error).toMatchObject({ code: 'model_unusable', message: expect.stringContaining('8 dimensions') })
})

test('the fingerprint follows from model, dimension and prefixes, not from the address', async () => {
  await using one = await FakeOpenAi.start()
  await using other = await FakeOpenAi.start()
  const { fingerprint } = await openBackend(one.url)
  expect((await openBackend(other.url, { apiKey: 'k' })).fingerprint).toBe(fingerprint)
  expect((await openBackend(one.url, { dimension: 8 })).fingerprint).toBe(fingerprint)
  const others = [{ model: 'x' }, { dimension: 4 }, { prefixes: { query: 'q: ' } }, { prefixes: { passage: 'q: ' } }]
  const prints = await Promise.all(others.map(async (options) => (await openBackend(one.url, options)).fingerprint))
  expect(new Set([fingerprint, ...prints]).size).toBe(others.length + 1)
})

test.each([
  [401, 'apiKey'],
  [403, 'apiKey'],
  [404, 'embedder.model'],
  [405, 'embedder.remote.url'],
])('an answer of %i is fatal and says what to set: %s', async (status, setting) => {
  const fault = () => ({ status, json: () => ({ error: { message: 'Incorrect key sk-secret\nprovided' } }) })
  await using server = await FakeOpenAi.start({ fault })
  const error = await failure(openBackend(server.url, { apiKey: 'sk-secret' }))
  expect(error).toBeInstanceOf(Fatal)
  expect(error).toMatchObject({ code: 'model_unusable', hint: expect.stringContaining(setting) })
  expect(String(error)).toContain(`${status}: Incorrect key *** provided`)
})

test('the key goes to its address alone: a redirect is not followed', async () => {
  await using elsewhere = await FakeOpenAi.start()
  const headers = { location: `${elsewhere.url}/embeddings` }
  await using server = await FakeOpenAi.start({ fault: () => ({ status: 307, headers }) })
  const error = await failure(openBackend(server.url, { apiKey: 'sk-secret' }))
  expect(error).toMatchObject({ code: 'model_unusable', hint: expect.stringContaining(new URL(elsewhere.url).origin) })
  expect(elsewhere.asked).toEqual([])
  expect(server.asked[0]?.headers.authorization).toBe('Bearer sk-secret')
})

test('a server that is not there, or is busy, is asked again by who opens', async () => {
  const fake = await FakeOpenAi.start()
  const { url } = fake
  await fake[Symbol.asyncDispose]()
  expect(await failure(openBackend(url))).toBeInstanceOf(Retryable)
  await using busy = await FakeOpenAi.start({ fault: () => ({ status: 503 }) })
  expect(await failure(openBackend(busy.url))).toMatchObject({ code: 'embedder_unavailable' })
})

test('the opening of one that hangs can be given up', async () => {
  await using server = await FakeOpenAi.start({ delayMs: 60_000 })
  const caller = new AbortController()
  const opening = failure(openBackend(server.url, { signal: caller.signal, timeout: 60_000 }))
  await until(async () => server.asked.length === 1)
  const reason = new Error('given up')
  caller.abort(reason)
  expect(await opening).toBe(reason)
  expect(await failure(openBackend(server.url, { signal: caller.signal }))).toBe(reason)
})

test('tokens are estimated', async () => {
  await using server = await FakeOpenAi.start()
  const backend = await openBackend(server.url)
  expect(await backend.countTokens(['charged twice', ''], new AbortController().signal)).toEqual([5, 0])
})
