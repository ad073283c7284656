import { randomUUID } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import { afterAll, describe, expect, test } from 'vitest'
import { openQdrant } from '../../../connectors/qdrant/index.ts'
import { metadataOf, pointId, toPoint } from '../../../connectors/qdrant/payload.ts'
import { connect } from '../../../connectors/qdrant/sdk.ts'
import { Fatal, Retryable } from '../../../src/core/errors.ts'
import { pointOf, vectorOf } from '../../contracts/vector-store-model.ts'
import { findQdrantServer } from '../../services/qdrant.ts'

const apiKey = 'a-key-of-some-length'
const server = await findQdrantServer(apiKey)
const url = server?.url ?? ''
afterAll(() => server?.[Symbol.asyncDispose]())

const specOf = (changes = {}) => ({
  name: `c${randomUUID()}`,
  fingerprint: 'model',
  dimension: 3,
  fields: ['n', 'text'],
  ...changes,
})

/** Answers every request with the same status. */
async function answering(
  status: number,
  headers: Record<string, string> = {},
): Promise<{ url: string; server: Server }> {
  const fake = createServer((_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end('{"status":{"error":"no"}}')
  })
  await new Promise<void>((done) => fake.listen(0, '127.0.0.1', done))
  const address = fake.address()
  return { url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`, server: fake }
}

/** A way to the server that refuses requests with a word in them, and knows a collection under another name. */
async function proxyOf(target: string) {
  const poison: string[] = []
  const names = new Map<string, string>()
  const proxy = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray())
    if (poison.some((word) => body.includes(word))) {
      response.writeHead(400, { 'content-type': 'application/json' }).end('{"status":{"error":"Wrong input: poison"}}')
      return
    }
    const path = (request.url ?? '').replace(/(?<=collections\/)[^/?]+/, (name) => names.get(name) ?? name)
    const answer = await fetch(`${target}${path}`, {
      method: request.method ?? 'GET',
      headers: { 'content-type': 'application/json', 'api-key': apiKey },
      ...(body.length > 0 ? { body } : {}),
    })
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text())
  })
  await new Promise<void>((done) => proxy.listen(0, '127.0.0.1', done))
  const address = proxy.address()
  return {
    url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`,
    refuse: (word: string) => poison.push(word),
    rename: (name: string, to: string) => names.set(name, to),
    close: () => {
      proxy.closeAllConnections()
      proxy.close()
    },
  }
}

test.each([
  ['https://qdrant.example', 'https://qdrant.example:6333'],
  ['https://qdrant.example:443', 'https://qdrant.example:443'],
  ['http://[::1]:80/behind/', 'http://[::1]:80/behind'],
  ['http://qdrant.example:6444', 'http://qdrant.example:6444'],
])('%s is asked at %s', async (given, asked) => {
  expect(JSON.stringify(await connect({ url: given }))).toContain(`"${asked}"`)
})

test('ids become UUIDs of version 5, the same in every process', () => {
  expect(pointId('orders/0/1')).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  expect(pointId('orders/0/1')).toBe('ad19eb39-6037-5f7d-838f-423ccd45f757')
  expect(pointId('orders/0/2')).not.toBe(pointId('orders/0/1'))
})

test.each([
  [401, {}, Fatal, 'vectors_refused', undefined],
  [403, {}, Fatal, 'vectors_refused', undefined],
  [429, { 'retry-after': '3' }, Retryable, 'vectors_unavailable', 3_000],
  [503, {}, Retryable, 'vectors_unavailable', 1_000],
  [500, {}, Retryable, 'vectors_unavailable', undefined],
])('an answer of %i is told as what it is', async (status, headers, kind, code, delayMs) => {
  const fake = await answering(status, headers)
  const opening = openQdrant({ url: fake.url, apiKey })
  await expect(opening).rejects.toThrow(kind)
  await expect(opening).rejects.toMatchObject({ code, ...(delayMs === undefined ? {} : { delayMs }) })
  await expect(opening).rejects.not.toThrow(apiKey)
  fake.server.closeAllConnections()
  fake.server.close()
})

describe.skipIf(server === undefined)('the Qdrant store', () => {
  test('many processes may open the same new collection at once', async () => {
    const spec = specOf()
    const stores = await Promise.all(Array.from({ length: 6 }, () => openQdrant({ url, apiKey })))
    const collections = await Promise.all(stores.map((store) => store.open(spec)))
    await Promise.all(collections.map((each, n) => each.upsert([pointOf(`p${n}`, [1, n, 0], { n })])))
    expect(await collections[0]?.count()).toBe(6)
    const late = await stores[1]?.open({ ...spec, fields: ['late'] })
    expect([...(late?.spec.fields ?? [])].sort()).toEqual(['late', 'n', 'text'])
    const filter = { late: { $exists: true } }
    expect(await collections[0]?.search({ vector: vectorOf(1, 0, 0), k: 3, filter })).toEqual([])
  })

  test('texts are ordered although Qdrant has no order of them, and the nearest that fit are found', async () => {
    const store = await openQdrant({ url, apiKey })
    const collection = await store.open(specOf())
    const points = Array.from({ length: 900 }, (_, n) =>
      pointOf(`p${n}`, [1, n / 100, 0], { n, text: `t${n % 300}` }, n),
    )
    expect(await collection.upsert(points)).toEqual([])
    const filter = { text: { $gte: 't298', $lt: 't3' }, n: { $gt: 299 } }
    const matches = await collection.search({ vector: vectorOf(1, 0, 0), k: 3, filter })
    expect(matches.map(({ id }) => id)).toEqual(['p598', 'p599', 'p898'])
  })

  test('a large batch is written in parts, and scanned in pages, each point once', async () => {
    const store = await openQdrant({ url, apiKey })
    const collection = await store.open(specOf())
    const points = Array.from({ length: 1_700 }, (_, n) => pointOf(`p${n}`, [1, n, 0], { n, text: `t${n}` }, n))
    expect(await collection.upsert(points)).toEqual([])
    const seen = new Map<string, unknown>()
    for await (const page of collection.scan?.() ?? []) for (const { id, ...rest } of page) seen.set(id, rest)
    expect(seen.size).toBe(1_700)
    expect(seen.get('p5')).toEqual({
      fields: { n: 5, text: 't5' },
      timestamp: 1_700_000_000_005,
      position: { topic: 'orders', partition: 3, offset: 5 },
    })
    expect(await collection.search({ vector: vectorOf(1, 0, 0), k: 1_700 })).toHaveLength(1_700)
  })

  test('a collection that others have made is left alone', async () => {
    const name = `foreign-${randomUUID()}`
    await fetch(`${url}/collections/${name}`, {
      method: 'PUT',
      headers: { 'api-key': apiKey, 'content-type': 'application/json' },
      body: JSON.stringify({ vectors: { size: 3, distance: 'Cosine' } }),
    })
    const store = await openQdrant({ url, apiKey })
    await expect(store.open(specOf({ name }))).rejects.toMatchObject({ code: 'not_a_collection' })
    expect(await store.find(name)).toBeUndefined()
    expect((await store.collections()).map(({ spec }) => spec.name)).not.toContain(name)
  })

  test('a collection from before gets an index of words, and what is written again is found by them', async () => {
    const spec = specOf()
    const client = await connect({ url, apiKey })
    await client.api().createCollection({
      collection_name: spec.name,
      vectors: { size: 3, distance: 'Cosine' },
      metadata: metadataOf('model', spec.fields),
    })
    const { payload } = toPoint(pointOf('a', [1, 0, 0], { text: 'ERR_4711' }))
    const { words: _, ...before } = payload
    await client.upsert(spec.name, { wait: true, points: [{ id: pointId('a'), vector: [1, 0, 0], payload: before }] })
    const store = await openQdrant({ url, apiKey })
    const collection = await store.open(spec)
    expect(Object.keys((await client.getCollection(spec.name)).payload_schema)).toContain('words')
    const query = { words: ['4711'], vector: vectorOf(1, 0, 0), k: 5 }
    expect(await collection.searchWords?.(query)).toEqual([])
    await collection.upsert([pointOf('a', [1, 0, 0], { text: 'ERR_4711' })])
    const [match] = (await collection.searchWords?.(query)) ?? []
    expect(match?.fields).toEqual({ text: 'ERR_4711' })
    await store.close()
  })

  test('a point that Qdrant refuses is answered, and those beside it are stored', async () => {
    const proxy = await proxyOf(url)
    const collection = await (await openQdrant({ url: proxy.url, apiKey })).open(specOf())
    const points = Array.from({ length: 9 }, (_, n) =>
      pointOf(`p${n}`, [1, n, 0], { text: n === 4 ? 'poison' : 'good' }),
    )
    proxy.refuse('poison')
    expect(await collection.upsert(points)).toMatchObject([{ index: 4, code: 'refused' }])
    expect(await collection.count()).toBe(8)
    proxy.close()
  })

  test('a collection that was dropped meanwhile ends its pipeline, and can be made anew, also otherwise', async () => {
    const proxy = await proxyOf(url)
    const store = await openQdrant({ url: proxy.url, apiKey })
    const spec = specOf()
    const collection = await store.open(spec)
    await collection.upsert([pointOf('a', [1, 0, 0], { n: 1 })])
    proxy.rename(spec.name, `${spec.name}-anew`)
    const write = collection.upsert([pointOf('a', [1, 0, 0], { n: 1 })])
    await expect(write).rejects.toThrow(Fatal)
    await expect(write).rejects.toMatchObject({ code: 'collection_gone' })
    const again = await store.open(spec)
    expect(await again.upsert([pointOf('b', [1, 0, 0], { n: 'text' })])).toEqual([])
    proxy.rename(spec.name, `${spec.name}-other`)
    const other = await (await openQdrant({ url: proxy.url, apiKey })).open({ ...spec, dimension: 2 })
    await expect(store.open(spec)).rejects.toMatchObject({ code: 'fingerprint_mismatch' })
    expect(await (await store.open({ ...spec, dimension: 2 })).upsert([pointOf('c', [1, 0], {})])).toEqual([])
    expect(await other.count()).toBe(1)
    proxy.close()
  })

  test('a server that goes down and comes back is found again', async () => {
    await expect(openQdrant({ url })).rejects.toMatchObject({ code: 'vectors_refused' })
    const store = await openQdrant({ url, apiKey })
    const collection = await store.open(specOf())
    await collection.upsert([pointOf('a', [1, 0, 0], {})])
    await server?.stop()
    await expect(collection.upsert([pointOf('b', [1, 0, 0], {})])).rejects.toMatchObject({
      code: 'vectors_unavailable',
    })
    await expect(openQdrant({ url, apiKey })).rejects.toThrow(Retryable)
    await server?.restart()
    await collection.upsert([pointOf('b', [1, 0, 0], {})])
    expect(await collection.count()).toBe(2)
  })
})
