import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { createAccess } from '../../src/access/index.ts'
import { Fatal, InvalidInput, MillraceError, Retryable } from '../../src/core/errors.ts'
import { createEmbedderApp } from '../../src/server/index.ts'
import { createMetrics, silentLog } from '../../src/telemetry/index.ts'
import { FakeEmbedder, letters } from './fakes.ts'
import { type Harness, json, startServer } from './harness.ts'

const answered = z.object({
  object: z.literal('list'),
  model: z.literal('letters'),
  data: z.array(z.object({ object: z.literal('embedding'), index: z.number(), embedding: z.unknown() })),
  usage: z.object({ prompt_tokens: z.number(), total_tokens: z.number() }),
  fingerprint: z.literal('letters-26'),
})

let harness: Harness
beforeAll(async () => {
  harness = await startServer()
})
afterAll(() => harness[Symbol.asyncDispose]())

async function embed(body: Readonly<Record<string, unknown>>) {
  const response = await harness.fetch('/v1/embeddings', json({ model: 'letters', ...body }))
  expect(response.status).toBe(200)
  return answered.parse(await response.json())
}

async function refused(path: string, body: unknown) {
  const response = await harness.fetch(path, json(body))
  return { status: response.status, body: z.looseObject({ detail: z.string() }).parse(await response.json()) }
}

function floats(packed: unknown): number[] {
  const bytes = Buffer.from(String(packed), 'base64')
  return Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readFloatLE(index * 4))
}

describe('embeddings', () => {
  test('as numbers and as base64 of the same numbers, by index', async () => {
    const { data, usage } = await embed({ input: ['ab', 'c d'] })
    expect(data.map(({ index, embedding }) => [index, embedding])).toEqual([
      [0, Array.from(letters('ab'))],
      [1, Array.from(letters('c d'))],
    ])
    expect(usage).toEqual({ prompt_tokens: 3, total_tokens: 3 })
    const packed = await embed({ model: 'x/Letters', input: 'ab', encoding_format: 'base64', user: 'someone' })
    expect(floats(packed.data[0]?.embedding)).toEqual(Array.from(letters('ab')))
  })

  test('fewer dimensions are the first numbers, brought to length 1', async () => {
    const [whole, cut] = [await embed({ input: 'aaabbc' }), await embed({ input: 'aaabbc', dimensions: 2 })]
    const [a = 0, b = 0] = z.array(z.number()).parse(whole.data[0]?.embedding)
    const first = z.array(z.number()).parse(cut.data[0]?.embedding)
    expect(first).toHaveLength(2)
    expect(Math.hypot(...first)).toBeCloseTo(1)
    expect((first[0] ?? 0) / (first[1] ?? 0)).toBeCloseTo(a / b)
    expect((await embed({ input: 'zz', dimensions: 2 })).data[0]?.embedding).toEqual([0, 0])
  })

  test.each([
    [{ input: 'a' }, { priority: 'query', purpose: 'passage' }],
    [{ input: ['a'] }, { priority: 'query', purpose: 'passage' }],
    [{ input: ['a', 'b'] }, { priority: 'bulk', purpose: 'passage' }],
    [
      { input: 'a', input_type: 'query' },
      { priority: 'query', purpose: 'query' },
    ],
    [
      { input: 'a', priority: 'bulk' },
      { priority: 'bulk', purpose: 'passage' },
    ],
    [
      { input: ['a', 'b'], priority: 'query' },
      { priority: 'query', purpose: 'passage' },
    ],
  ])('%o is embedded as %o', async (body, options) => {
    await embed(body)
    expect(harness.embedder.options).toMatchObject(options)
  })

  test('2,048 texts are taken, and no more', async () => {
    const texts = Array.from({ length: 2_048 }, (_, index) => `text ${index}`)
    expect((await embed({ input: texts, encoding_format: 'base64' })).data).toHaveLength(2_048)
    const { status, body } = await refused('/v1/embeddings', { model: 'letters', input: [...texts, 'one more'] })
    expect([status, body.detail]).toEqual([400, expect.stringContaining('1 to 2048 texts')])
  })

  test.each([
    [{ input: [1, 2] }, 'send the texts themselves'],
    [{ input: [[1, 2]] }, 'send the texts themselves'],
    [{ input: [] }, '1 to 2048 texts'],
    [{}, 'missing'],
    [{ input: 'a', encoding_format: 'hex' }, '/encoding_format'],
    [{ input: 'a', dimensions: 27 }, '26 dimensions'],
    [{ input: 'a', dimensions: 0 }, '/dimensions'],
    [{ input: 'a', input_type: 'document' }, '/input_type'],
  ])('%o is refused and says why: %s', async (body, why) => {
    const answer = await refused('/v1/embeddings', { model: 'letters', ...body })
    expect(answer).toMatchObject({ status: 400, body: { error: { message: expect.stringContaining(why) } } })
  })
})

test('errors are what OpenAI clients read', async () => {
  const asked = { model: 'text-embedding-3-small', input: 'a' }
  for (const path of ['/v1/embeddings', '/v1/tokens']) {
    expect(await refused(path, asked)).toMatchObject({
      status: 404,
      body: {
        code: 'model_not_found',
        error: { code: 'model_not_found', type: 'invalid_request_error', message: expect.stringContaining('letters') },
      },
    })
  }
})

test('the model is listed as OpenAI lists models, with what a Millrace has to know', async () => {
  const models = await (await harness.fetch('/v1/models')).json()
  const millrace = { fingerprint: 'letters-26', dimension: 26, maxTokens: 512, prefixes: { query: '', passage: '' } }
  expect(models).toEqual({
    object: 'list',
    data: [{ id: 'letters', object: 'model', created: 0, owned_by: 'millrace', millrace }],
  })
})

test('tokens are counted by index', async () => {
  const response = await harness.fetch('/v1/tokens', json({ model: 'letters', input: ['a b c', 'd'] }))
  expect(await response.json()).toEqual({ model: 'letters', counts: [3, 1] })
})

const access = await createAccess({})

describe('the role embedder', () => {
  const app = (embedder: FakeEmbedder) => {
    const metrics = createMetrics()
    metrics.close()
    return createEmbedderApp({
      services: { embedder: async () => embedder },
      access,
      metrics,
      log: silentLog,
      ready: () => ({ ready: false, reasons: ['the model is loading'] }),
      version: '0.1.0',
      limits: { bodyBytes: 1_000, inFlightBytes: 10_000 },
    })
  }
  const at = (path: string) => `http://localhost${path}`

  test.each(['/v1/topics', '/v1/query', '/v1/live', '/', '/index.html'])('%s is not there, and why', async (path) => {
    const response = await app(new FakeEmbedder()).request(at(path))
    expect(response.status).toBe(404)
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    expect(await response.json()).toMatchObject({
      code: 'route_not_found',
      hint: expect.stringContaining('role embedder'),
    })
  })

  test('it embeds, and has probes, metrics and its own description', async () => {
    const embedder = app(new FakeEmbedder())
    expect((await embedder.request(at('/v1/embeddings'), json({ model: 'letters', input: 'a' }))).status).toBe(200)
    expect((await embedder.request(at('/livez'))).status).toBe(200)
    expect((await embedder.request(at('/readyz'))).status).toBe(503)
    expect((await embedder.request(at('/metrics'))).status).toBe(200)
    const description = await (await embedder.request(at('/openapi.json'))).json()
    const named = z.record(z.string(), z.unknown())
    const { paths, components } = z
      .object({ paths: named, components: z.object({ schemas: named }) })
      .parse(description)
    expect(Object.keys(components.schemas)).toContain('EmbeddingRequest')
    expect(Object.keys(components.schemas)).not.toContain('Query')
    expect(Object.keys(paths).toSorted()).toEqual(
      ['/livez', '/metrics', '/readyz', '/v1/embeddings', '/v1/models', '/v1/tokens'].toSorted(),
    )
  })

  test.each([
    [new Retryable({ code: 'embedder_unavailable', message: 'busy', delayMs: 7_000 }), 503, '7', 'server_error'],
    [new Fatal({ code: 'model_unusable', message: 'corrupt' }), 500, null, 'server_error'],
    [new InvalidInput({ code: 'text_not_embeddable', message: 'poison' }), 400, null, 'invalid_request_error'],
    // Its texts are not to blame: another process will take them.
    [new MillraceError({ code: 'embedder_closed', message: 'closed' }), 503, '1', 'server_error'],
  ])('%s is answered with %i', async (error, status, retry, type) => {
    const embedder = new FakeEmbedder()
    embedder.embed = () => Promise.reject(error)
    const response = await app(embedder).request(at('/v1/embeddings'), json({ model: 'letters', input: 'a' }))
    expect(response.status).toBe(status)
    expect(response.headers.get('retry-after')).toBe(retry)
    expect(await response.json()).toMatchObject({ error: { type } })
  })

  test('a large body is refused before it is read', async () => {
    const body = json({ model: 'letters', input: 'a'.repeat(2_000) })
    const response = await app(new FakeEmbedder()).request(at('/v1/embeddings'), body)
    expect(response.status).toBe(413)
    expect(await response.json()).toMatchObject({ code: 'body_too_large', error: { code: 'body_too_large' } })
  })
})
