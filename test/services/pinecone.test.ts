import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readPineconeFilter } from './pinecone-filter.ts'
import { type FakePinecone, startFakePinecone } from './pinecone-server.ts'

let server: FakePinecone
beforeEach(async () => {
  server = await startFakePinecone()
  const spec = { serverless: { cloud: 'aws', region: 'us-east-1' } }
  await post('/indexes', { name: 'test', dimension: 2, metric: 'cosine', spec })
})
afterEach(() => server.close())

async function post(path: string, body: object, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${server.url}${path}`, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'api-key': server.apiKey, 'x-pinecone-api-version': '2026-04', ...headers },
  })
}

const vector = (id: string, metadata: object = {}) => ({ id, values: [1, 0], metadata })

describe('the fake of Pinecone refuses what Pinecone refuses', () => {
  test.each([
    ['an unknown property', '/vectors/upsert', { vectors: [vector('a')], colour: 'red' }],
    [
      'more than 1,000 records',
      '/vectors/upsert',
      { vectors: Array.from({ length: 1_001 }, (_, n) => vector(`${n}`)) },
    ],
    [
      'more than 2 MB',
      '/vectors/upsert',
      {
        vectors: Array.from({ length: 60 }, (_, n) => vector(`${n}`, { text: 'x'.repeat(39_000) })),
      },
    ],
    ['more than 40 KB of metadata', '/vectors/upsert', { vectors: [vector('a', { text: 'x'.repeat(41_000) })] }],
    ['null in metadata', '/vectors/upsert', { vectors: [vector('a', { text: null })] }],
    ['an object in metadata', '/vectors/upsert', { vectors: [vector('a', { text: {} })] }],
    ['a list of numbers in metadata', '/vectors/upsert', { vectors: [vector('a', { list: [1] })] }],
    ['an id that is not ASCII', '/vectors/upsert', { vectors: [vector('ü')] }],
    ['an id of 513 characters', '/vectors/upsert', { vectors: [vector('x'.repeat(513))] }],
    ['another dimension', '/vectors/upsert', { vectors: [{ id: 'a', values: [1, 2, 3] }] }],
    ['a vector of zeros', '/vectors/upsert', { vectors: [{ id: 'a', values: [0, 0] }] }],
    ['more than 10,000 matches', '/query', { vector: [1, 0], topK: 10_001 }],
    ['an order of texts', '/query', { vector: [1, 0], topK: 1, filter: { a: { $gt: 'x' } } }],
    ['booleans in a list', '/query', { vector: [1, 0], topK: 1, filter: { a: { $in: [true] } } }],
    ['an empty disjunction', '/query', { vector: [1, 0], topK: 1, filter: { $or: [] } }],
    ['an unknown operator', '/query', { vector: [1, 0], topK: 1, filter: { a: { $like: 'x' } } }],
    ['more than 1,000 deletes', '/vectors/delete', { ids: Array.from({ length: 1_001 }, (_, n) => `${n}`) }],
  ])('%s', async (_, path, body) => {
    expect((await post(`/data/test${path}`, body)).status).toBe(400)
  })

  test('a wrong key, and a call that is not part of the API', async () => {
    expect((await post('/data/test/query', {}, { 'api-key': 'wrong' })).status).toBe(401)
    expect((await post('/data/test/vectors/purge', {})).status).toBe(404)
  })

  test('an answer of more than 4 MB', async () => {
    for (let n = 0; n < 120; n++) {
      await post('/data/test/vectors/upsert', { vectors: [vector(`${n}`, { text: 'x'.repeat(39_000) })] })
    }
    const query = { vector: [1, 0], topK: 120 }
    expect((await post('/data/test/query', { ...query, includeMetadata: true })).status).toBe(400)
    expect((await post('/data/test/query', query)).status).toBe(200)
  })
})

test('the fake of Pinecone numbers writes, and shows them later', async () => {
  server.settings.freshnessMs = 60
  const upsert = await post('/data/test/vectors/upsert', { vectors: [vector('a')], namespace: 'n' })
  expect(upsert.headers.get('x-pinecone-request-lsn')).toBe('1')
  const query = () => post('/data/test/query', { vector: [1, 0], topK: 5, namespace: 'n' })
  const early = await query()
  expect(early.headers.get('x-pinecone-max-indexed-lsn')).toBe('0')
  expect(await early.json()).toMatchObject({ matches: [] })
  await expect.poll(async () => (await query()).headers.get('x-pinecone-max-indexed-lsn')).toBe('1')
  expect(await (await query()).json()).toMatchObject({ matches: [{ id: 'a', score: 1 }] })
})

test('whether something differs from what is missing can be set', () => {
  for (const missingDiffers of [true, false]) {
    expect(readPineconeFilter({ a: { $ne: 1 } }, missingDiffers)({})).toBe(missingDiffers)
    expect(readPineconeFilter({ a: { $nin: [1] } }, missingDiffers)({})).toBe(missingDiffers)
    expect(readPineconeFilter({ a: 'x' }, missingDiffers)({ a: ['w', 'x'] })).toBe(true)
  }
})
