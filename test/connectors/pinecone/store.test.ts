import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openPinecone, type PineconeSettings } from '../../../connectors/pinecone/index.ts'
import { Fatal, InvalidInput, Retryable } from '../../../src/core/errors.ts'
import type { CollectionSpec, VectorPoint, VectorStore } from '../../../src/core/vector-store.ts'
import { modelSearch, pointOf, vectorOf } from '../../contracts/vector-store-model.ts'
import { type FakePinecone, startFakePinecone } from '../../services/pinecone-server.ts'

let server: FakePinecone
let settings: PineconeSettings
let store: VectorStore

const spec: CollectionSpec = { name: 'tickets', fingerprint: 'model', dimension: 3, fields: ['text', 'n'] }

beforeEach(async () => {
  server = await startFakePinecone({ readyMs: 30 })
  settings = { apiKey: server.apiKey, index: 'millrace', host: server.url, cloud: 'aws', region: 'us-east-1' }
  store = await openPinecone(settings)
})
afterEach(async () => {
  await store.close()
  await server.close()
})

function points(count: number, fields: (n: number) => VectorPoint['fields'] = (n) => ({ n })): VectorPoint[] {
  return Array.from({ length: count }, (_, n) =>
    pointOf(`p${n}`, [Math.cos(n / count), Math.sin(n / count), 0], fields(n), n),
  )
}

test('nothing is made in Pinecone by looking', async () => {
  expect(await store.find('tickets')).toBeUndefined()
  expect(await store.collections()).toEqual([])
  expect(server.requests.filter((request) => request.startsWith('POST'))).toEqual([])
})

test('many who open the same new collection at once find one, in one index', async () => {
  const stores = await Promise.all(Array.from({ length: 5 }, () => openPinecone(settings)))
  const collections = await Promise.all(stores.map((each, n) => each.open({ ...spec, fields: ['text', `f${n}`] })))
  await Promise.all(
    collections.map((collection, n) => collection.upsert([pointOf(`p${n}`, [1, 0, 0], { text: 't', [`f${n}`]: n })])),
  )
  const found = await (await openPinecone(settings)).find('tickets')
  expect([...(found?.spec.fields ?? [])].sort()).toEqual(['f0', 'f1', 'f2', 'f3', 'f4', 'text'])
  expect(await found?.count()).toBe(5)
  const matches = await found?.search({ vector: vectorOf(1, 0, 0), k: 9, filter: { f3: 3, text: 't' } })
  expect(matches?.map(({ id }) => id)).toEqual(['p3'])
})

test('a field of another process, and its type, are known when they are needed', async () => {
  const one = await store.open(spec)
  const other = await (await openPinecone(settings)).open({ ...spec, fields: ['late'] })
  await other.upsert([pointOf('a', [1, 0, 0], { late: 5, n: 1 })])
  expect(await one.search({ vector: vectorOf(1, 0, 0), k: 1, filter: { late: { $gte: 5 } } })).toHaveLength(1)
  expect(await one.upsert([pointOf('b', [1, 0, 0], { n: 'one' })])).toMatchObject([{ index: 0, code: 'field_type' }])
})

test('writes beyond the limits of a request are cut, and all of them arrive', async () => {
  const collection = await store.open(spec)
  const all = points(2_500, (n) => ({ n, text: 'x'.repeat(n % 2_000) }))
  expect(await collection.upsert(all)).toEqual([])
  expect(await collection.count()).toBe(2_500)
  expect(server.requests.filter((request) => request.endsWith('/vectors/upsert')).length).toBeGreaterThan(4)
  await collection.delete(all.slice(0, 2_300).map(({ id }) => id))
  expect(await collection.count()).toBe(200)
})

test('an answer that is too large for Pinecone is put together from smaller ones', async () => {
  const collection = await store.open(spec)
  await collection.upsert(points(600, (n) => ({ n, text: `${n} ${'y'.repeat(10_000)}` })))
  const matches = await collection.search({ vector: vectorOf(1, 0, 0), k: 500 })
  expect(matches.map(({ id }) => id)).toEqual(Array.from({ length: 500 }, (_, n) => `p${n}`))
  expect(matches[499]?.fields).toEqual({ n: 499, text: `499 ${'y'.repeat(10_000)}` })
})

test('texts are compared by order as far as Pinecone lets us look', async () => {
  const collection = await store.open(spec)
  await collection.upsert(points(3_000, (n) => ({ n, text: `t${String(n).padStart(5, '0')}` })))
  const vector = vectorOf(1, 0, 0)
  const late = await collection.search({ vector, k: 5, filter: { text: { $gt: 't02989' } } })
  expect(late.map(({ id }) => id)).toEqual(['p2990', 'p2991', 'p2992', 'p2993', 'p2994'])
  const narrow = await collection.search({ vector, k: 20, filter: { text: { $gt: 't02989' }, n: { $lt: 2_992 } } })
  expect(narrow.map(({ id }) => id)).toEqual(['p2990', 'p2991'])
})

test('a filter that Pinecone cannot decide among too many is refused, not answered wrongly', async () => {
  const collection = await store.open(spec)
  await collection.upsert(points(10_050, (n) => ({ text: n > 10_030 ? 'z' : 'a' })))
  const search = collection.search({ vector: vectorOf(1, 0, 0), k: 5, filter: { text: { $gte: 'b' } } })
  await expect(search).rejects.toThrow(InvalidInput)
  await expect(search).rejects.toMatchObject({ code: 'filter_too_broad' })
}, 60_000)

test('a scan gives each point once that was there all along, whatever is written and deleted meanwhile', async () => {
  const collection = await store.open(spec)
  const nothing: unknown[] = []
  for await (const page of collection.scan?.() ?? []) nothing.push(...page)
  expect(nothing).toEqual([])
  const stay = [...points(350), pointOf('grüße', [1, 0, 0], { n: 1 })]
  const leave = points(350).map((point) => ({ ...point, id: `l${point.id}` }))
  await collection.upsert([...stay, ...leave])
  server.settings.freshnessMs = 20
  const seen = new Map<string, VectorPoint['fields']>()
  let pages = 0
  for await (const page of collection.scan?.() ?? []) {
    for (const { id, fields } of page) {
      expect(seen.has(id)).toBe(false)
      seen.set(id, fields)
    }
    await collection.upsert(
      points(20).map((point) => ({ ...point, id: `${pages % 2 === 0 ? 'a' : 'z'}${pages}${point.id}` })),
    )
    await collection.delete(leave.slice(pages * 50, (pages + 1) * 50).map(({ id }) => id))
    pages++
  }
  expect(pages).toBeGreaterThan(3)
  for (const { id, fields } of stay) expect(seen.get(id)).toEqual(fields)
})

test('a scan asks once only whether what was written is there', async () => {
  const collection = await store.open(spec)
  await collection.upsert(points(150))
  const before = server.requests.length
  let count = 0
  for await (const page of collection.scan?.() ?? []) count += page.length
  expect(count).toBe(150)
  const asked = server.requests.slice(before).map((request) => request.replace(/.*\/data\/millrace/, ''))
  expect(asked.filter((path) => path === '/query')).toHaveLength(1)
  expect(asked.filter((path) => path === '/vectors/list')).toHaveLength(2)
})

test('ids that Pinecone does not take are kept beside a hash', async () => {
  const collection = await store.open(spec)
  const ids = [
    'topic/0/12#3',
    'grüße',
    `${'long/'.repeat(400)}1`,
    `${'long/'.repeat(400)}2`,
    'sha256:abc',
    ' ',
    'a\nb',
    '',
  ]
  await collection.upsert(ids.map((id, n) => pointOf(id, [1, n / 10, 0], { n }, n)))
  await collection.upsert([pointOf('grüße', [1, 0.1, 0], { n: 100 })])
  const found = await collection.search({ vector: vectorOf(1, 0, 0), k: 20 })
  expect(found.map(({ id }) => id)).toEqual(ids)
  await collection.delete(['grüße', `${'long/'.repeat(400)}1`])
  expect(await collection.count()).toBe(ids.length - 2)
})

test('what Pinecone could not hold is refused by index', async () => {
  const collection = await store.open(spec)
  const rejections = await collection.upsert([
    pointOf('a', [1, 0, 0], { text: 'x'.repeat(45_000) }),
    pointOf('b', [1, 0, 0], { n: Number.NaN }),
    pointOf('c', [1, 0, Number.NaN], {}),
    pointOf('d', [1, 0, 0], { text: 'fine', n: null }),
  ])
  expect(rejections.map(({ index, code }) => [index, code])).toEqual([
    [0, 'too_large'],
    [1, 'bad_field'],
    [2, 'bad_vector'],
  ])
  expect(await collection.count()).toBe(1)
})

test('a point that is refused does not say what a field holds', async () => {
  const collection = await store.open(spec)
  const rejections = await collection.upsert([
    pointOf('a', [1, 0, 0], { text: 'x'.repeat(45_000) }),
    pointOf('b', [1, 0, 0], { text: 5 }),
  ])
  expect(rejections).toMatchObject([{ index: 0, code: 'too_large' }])
})

test('what was written is found by the next search, however long Pinecone takes to show it', async () => {
  const collection = await store.open(spec)
  await collection.upsert([pointOf('a', [1, 0, 0], { n: 1 })])
  server.settings.freshnessMs = 400
  await collection.upsert([pointOf('a', [0, 1, 0], { n: 2 }), pointOf('b', [1, 0, 0], { n: 3 })])
  await collection.delete(['b'])
  const found = await collection.search({ vector: vectorOf(0, 1, 0), k: 5 })
  expect(found.map(({ id, fields }) => [id, fields.n])).toEqual([['a', 2]])
  await collection.upsert([pointOf('c', [1, 0, 0], {})])
  expect(await collection.count()).toBe(2)
})

test('a rate limit says how long to wait', async () => {
  const collection = await store.open(spec)
  server.failNext(429, 1, { 'retry-after': '7' })
  const write = collection.upsert(points(1))
  await expect(write).rejects.toThrow(Retryable)
  await expect(write).rejects.toMatchObject({ code: 'vectors_unavailable', delayMs: 7_000 })
  for (const status of [402, 408, 425, 500]) {
    server.failNext(status, 1)
    await expect(collection.upsert(points(1))).rejects.toThrow(Retryable)
  }
  server.failNext(503, 1)
  const search = collection.search({ vector: vectorOf(1, 0, 0), k: 1 })
  await expect(search).rejects.toMatchObject({ code: 'vectors_unavailable', delayMs: undefined })
  expect(await collection.upsert(points(1))).toEqual([])
})

test('a key that is not accepted is said, and never shown', async () => {
  const other = await openPinecone({ ...settings, apiKey: 'pcsk_secret' })
  const opening = other.open(spec)
  await expect(opening).rejects.toThrow(Fatal)
  await expect(opening).rejects.toMatchObject({ code: 'vectors_unauthorized', hint: expect.stringContaining('apiKey') })
  await expect(opening).rejects.not.toThrow(/pcsk_secret/)
})

test('an index of another dimension is refused for a new collection', async () => {
  await store.open(spec)
  const opening = store.open({ ...spec, name: 'wide', dimension: 4 })
  await expect(opening).rejects.toMatchObject({ code: 'index_unsuitable' })
})

test('more collections than one page of a list are all listed', async () => {
  const names = Array.from({ length: 60 }, (_, n) => `c${String(n).padStart(3, '0')}`)
  for (const name of names) await store.open({ ...spec, name })
  const other = await openPinecone(settings)
  const listed = await other.collections()
  expect(listed.map((entry) => entry.spec.name).sort()).toEqual(names)
  expect(listed[7]?.spec.fields).toEqual(['n', 'text'])
})

test('replays, deletes and a server that dies between them leave what the last change of each id says', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          ids: fc.uniqueArray(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 6 }),
          kind: fc.constantFrom('upsert', 'upsert', 'delete'),
          kill: fc.boolean(),
        }),
        { minLength: 3, maxLength: 10 },
      ),
      async (changes) => {
        const wanted = { ...spec, name: `c${randomUUID()}` }
        const collection = await store.open(wanted)
        const model = new Map<string, VectorPoint>()
        for (const [turn, { ids, kind, kill }] of changes.entries()) {
          const made = ids.map((id) => pointOf(`k${id}`, [1, id, turn], { n: turn }, turn))
          const apply = async () =>
            kind === 'upsert' ? collection.upsert(made) : collection.delete(made.map(({ id }) => id))
          if (kill) {
            await server.kill()
            await expect(apply()).rejects.toThrow(Retryable)
            await server.restart()
          }
          await apply()
          await apply()
          for (const point of made)
            if (kind === 'upsert') model.set(point.id, point)
            else model.delete(point.id)
        }
        const query = { vector: vectorOf(1, 2, 3), k: 50 }
        modelSearch(model, query).assertSame(await collection.search(query))
        expect(await collection.count()).toBe(model.size)
      },
    ),
    { numRuns: 10 },
  )
})
