import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openMilvus } from '../../../connectors/milvus/index.ts'
import { Fatal, InvalidInput, Retryable } from '../../../src/core/errors.ts'
import type { CollectionSpec, VectorPoint, VectorStore } from '../../../src/core/vector-store.ts'
import type { VectorStoreStorage } from '../../contracts/vector-store.ts'
import { modelSearch, pointOf, vectorOf } from '../../contracts/vector-store-model.ts'
import { type MilvusServer, milvusMissing, startMilvus } from '../../services/milvus.ts'
import { findService } from '../../services/services.ts'
import { milvusStorage } from './storage.ts'

const address = await findService('milvus')
const missing = await milvusMissing()

const specOf = (changes: Partial<CollectionSpec> = {}): CollectionSpec => ({
  name: `c${randomUUID().replaceAll('-', '')}`,
  fingerprint: 'model',
  dimension: 3,
  fields: ['text', 'n'],
  ...changes,
})

describe.skipIf(address === undefined)('a Milvus server', () => {
  let storage: VectorStoreStorage
  let store: VectorStore

  beforeEach(async () => {
    storage = milvusStorage({ address: address ?? '' })
    store = await storage.open()
  })
  afterEach(async () => {
    await store.close()
    await storage.remove()
  })

  test('many who open the same new collection at once find one, with the fields of all', async () => {
    const wanted = specOf()
    const stores = await Promise.all(Array.from({ length: 5 }, () => storage.open()))
    const collections = await Promise.all(
      // Milvus Lite may fail when two change a collection at once.
      stores.map((each, n) => persistently(() => each.open({ ...wanted, fields: ['text', `f${n}`] }))),
    )
    for (const [n, collection] of collections.entries()) {
      await collection.upsert([pointOf(`p${n}`, [1, 0, 0], { text: 't', [`f${n}`]: n })])
    }
    const found = await (await storage.open()).find(wanted.name)
    expect([...(found?.spec.fields ?? [])].sort()).toEqual(['f0', 'f1', 'f2', 'f3', 'f4', 'text'])
    expect(await found?.count()).toBe(5)
    const matches = await found?.search({ vector: vectorOf(1, 0, 0), k: 9, filter: { f3: 3, text: 't' } })
    expect(matches?.map(({ id }) => id)).toEqual(['p3'])
    await Promise.all(stores.map((each) => each.close()))
  })

  test('a field of another process, and its type, are known when they are needed', async () => {
    const wanted = specOf()
    const one = await store.open(wanted)
    const other = await (await storage.open()).open({ ...wanted, fields: ['late'] })
    await other.upsert([pointOf('a', [1, 0, 0], { late: 5, n: 1 })])
    expect(await one.search({ vector: vectorOf(1, 0, 0), k: 1, filter: { late: { $gte: 5 } } })).toHaveLength(1)
    expect(await one.upsert([pointOf('b', [1, 0, 0], { n: 'one' })])).toMatchObject([{ index: 0, code: 'field_type' }])
  })

  test('names that Milvus has no characters for stay apart', async () => {
    const name = `c-${randomUUID()}`
    const names = [name, name.replaceAll('-', '.'), name.replaceAll('-', '_')]
    for (const [n, each] of names.entries()) {
      await (await store.open(specOf({ name: each }))).upsert([pointOf(`p${n}`, [1, 0, 0], {})])
    }
    for (const [n, each] of names.entries()) {
      const matches = await (await store.find(each))?.search({ vector: vectorOf(1, 0, 0), k: 5 })
      expect(matches?.map(({ id }) => id)).toEqual([`p${n}`])
    }
    const listed = (await store.collections()).map(({ spec }) => spec.name)
    expect(names.every((each) => listed.includes(each))).toBe(true)
    await expect(store.open(specOf({ name: 'a b' }))).rejects.toThrow(InvalidInput)
  })

  test('ids that are no keys for Milvus are kept beside a hash', async () => {
    const collection = await store.open(specOf())
    const long = 'long/'.repeat(400)
    const ids = ['topic/0/12#3', 'grüße', `${long}1`, `${long}2`, 'sha256:abc', ' ', 'a\nb\\"c"', '']
    await collection.upsert(ids.map((id, n) => pointOf(id, [1, n / 10, 0], { n }, n)))
    await collection.upsert([pointOf(`${long}2`, [1, 0.3, 0], { n: 100 })])
    const found = await collection.search({ vector: vectorOf(1, 0, 0), k: 20 })
    expect(found.map(({ id }) => id)).toEqual(ids)
    await collection.delete(['a\nb\\"c"', `${long}1`, ''])
    expect(await collection.count()).toBe(ids.length - 3)
  })

  test('writes and deletes beyond the limits of a request are cut, and all of them arrive', async () => {
    const collection = await store.open(specOf())
    const points = Array.from({ length: 5_000 }, (_, n) =>
      pointOf(`p${n}`, [Math.cos(n / 5_000), Math.sin(n / 5_000), 0], { n, text: 'x'.repeat(n % 50) }, n),
    )
    expect(await collection.upsert(points)).toEqual([])
    expect(await collection.count()).toBe(5_000)
    const many = await collection.search({ vector: vectorOf(1, 0, 0), k: 5_000 })
    expect(new Set(many.map(({ id }) => id)).size).toBe(5_000)
    await collection.delete(points.slice(0, 4_500).map(({ id }) => id))
    expect(await collection.count()).toBe(500)
  }, 60_000)

  test('a scan gives each point once that was there all along, whatever is written and deleted meanwhile', async () => {
    const collection = await store.open(specOf())
    const odd = ['\u{10000}', '\uffee', 'grüße', 'a\nb\\"c"', 'sha256:abc', ' ', '', 'long/'.repeat(400)]
    const stay = [...odd, ...Array.from({ length: 1_300 }, (_, n) => `s${(n * 7_919) % 1_300}`)]
    const leave = Array.from({ length: 200 }, (_, n) => `l${n}`)
    const points = (ids: readonly string[]) => ids.map((id, n) => pointOf(id, [1, n, 0], { n, text: id.slice(-9) }, n))
    expect(await collection.upsert([...points(stay), ...points(leave)])).toEqual([])
    const seen: string[] = []
    let pages = 0
    for await (const page of collection.scan?.() ?? []) {
      for (const { id, fields } of page) expect(fields.text).toBe(id.slice(-9))
      seen.push(...page.map(({ id }) => id))
      await collection.upsert(points(Array.from({ length: 40 }, (_, n) => `${n % 2 === 0 ? 'a' : 'z'}${pages}-${n}`)))
      await collection.delete(leave.slice(pages * 50, (pages + 1) * 50))
      pages++
    }
    expect(pages).toBeGreaterThan(2)
    expect(new Set(seen).size).toBe(seen.length)
    expect(stay.filter((id) => !seen.includes(id))).toEqual([])
  }, 60_000)

  test('numbers and texts come back and compare as they are', async () => {
    const collection = await store.open(specOf())
    const numbers = [0, -1, 2 ** 53, -(2 ** 53), 2 ** 62, 1e20, 1e21, -1e300, 5e-324, 0.1 + 0.2]
    await collection.upsert(numbers.map((n, index) => pointOf(`p${index}`, [1, index / 20, 0], { n }, index)))
    const vector = vectorOf(1, 0, 0)
    for (const [index, n] of numbers.entries()) {
      const equal = await collection.search({ vector, k: 20, filter: { n } })
      expect(equal.map(({ id, fields }) => [id, fields.n])).toEqual([[`p${index}`, n]])
      const above = await collection.search({ vector, k: 20, filter: { n: { $gt: n } } })
      expect(above).toHaveLength(numbers.filter((other) => other > n).length)
    }
    const texts = ['"', "'", '\\', '\n\r\t', '\u0000', '{}', '%_', '\u2028', '\u{1f600}', 'true', 'null']
    await collection.upsert(texts.map((text, index) => pointOf(`t${index}`, [1, 0, 0], { text }, index)))
    for (const [index, text] of texts.entries()) {
      const equal = await collection.search({ vector, k: 20, filter: { text } })
      expect(equal.map(({ id, fields }) => [id, fields.text])).toEqual([[`t${index}`, text]])
    }
  })

  test('a collection that was dropped meanwhile ends its pipeline, and can be made anew, also otherwise', async () => {
    const wanted = specOf()
    const collection = await store.open(wanted)
    await collection.upsert([pointOf('a', [1, 0, 0], { n: 1 })])
    await storage.remove()
    const write = collection.upsert([pointOf('a', [1, 0, 0], { n: 1 })])
    await expect(write).rejects.toThrow(Fatal)
    await expect(write).rejects.toMatchObject({ code: 'collection_gone' })
    const other = await (await storage.open()).open({ ...wanted, dimension: 2 })
    await expect(store.open(wanted)).rejects.toMatchObject({ code: 'fingerprint_mismatch' })
    const again = await store.open({ ...wanted, dimension: 2 })
    expect(await again.upsert([pointOf('b', [1, 0], { n: 'text' })])).toEqual([])
    expect(await other.count()).toBe(1)
  })

  test('what Milvus could not hold is refused by index', async () => {
    const collection = await store.open(specOf())
    const rejections = await collection.upsert([
      pointOf('a', [1, 0, 0], { text: 'x'.repeat(70_000) }),
      pointOf('b', [1, 0, 0], { n: Number.NaN }),
      pointOf('c', [1, 0, Number.NaN], {}),
      pointOf('x'.repeat(70_000), [1, 0, 0], {}),
      pointOf('d', [1, 0, 0], { text: 'half of a pair: \ud800', n: null }),
    ])
    expect(rejections.map(({ index, code }) => [index, code])).toEqual([
      [0, 'too_large'],
      [1, 'bad_field'],
      [2, 'bad_vector'],
      [3, 'too_large'],
    ])
    expect(
      await collection.search({ vector: vectorOf(1, 0, 0), k: 5, filter: { text: { $gt: 'half' } } }),
    ).toHaveLength(1)
  })

  test('words have the room that fields leave, and no point is refused for them', async () => {
    const collection = await store.open(specOf())
    const text = Array.from({ length: 8_000 }, (_, n) => `w${n}`).join(' ')
    expect(await collection.upsert([pointOf('a', [1, 0, 0], { text })])).toEqual([])
    const find = (word: string) => collection.searchWords?.({ words: [word], vector: vectorOf(1, 0, 0), k: 5 })
    expect(await find('w7')).toHaveLength(1)
    expect(await find('w7999')).toEqual([])
  })
})

test('a server that is not there is waited for, not given up', async () => {
  const store = await openMilvus({ address: '127.0.0.1:1', username: 'root', password: 'open sesame' })
  for (const call of [() => store.open(specOf()), () => store.find('tickets'), () => store.collections()]) {
    const failed = call()
    await expect(failed).rejects.toThrow(Retryable)
    await expect(failed).rejects.toMatchObject({
      code: 'vectors_unavailable',
      message: expect.stringContaining('127.0.0.1:1'),
    })
    await expect(failed).rejects.not.toThrow(/open sesame/)
  }
  await store.close()
})

describe.skipIf(missing !== undefined)('a Milvus server that dies', () => {
  let server: MilvusServer

  beforeAll(async () => {
    server = await startMilvus()
  }, 100_000)
  afterAll(async () => {
    await server[Symbol.asyncDispose]()
  })

  test('between writes has lost nothing that was answered, and replays change nothing', async () => {
    const store = await openMilvus({ address: server.address })
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            ids: fc.uniqueArray(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 6 }),
            kind: fc.constantFrom('upsert', 'upsert', 'delete'),
          }),
          { minLength: 4, maxLength: 8 },
        ),
        fc.nat({ max: 3 }),
        async (changes, killed) => {
          const collection = await store.open(specOf())
          const model = new Map<string, VectorPoint>()
          for (const [turn, { ids, kind }] of changes.entries()) {
            const made = ids.map((id) => pointOf(`k${id}`, [1, id, turn], { n: turn }, turn))
            const apply = async () =>
              kind === 'upsert' ? collection.upsert(made) : collection.delete(made.map(({ id }) => id))
            if (turn === killed) {
              await server.kill()
              await expect(apply()).rejects.toThrow(Retryable)
              await expect(collection.search({ vector: vectorOf(1, 0, 0), k: 1 })).rejects.toThrow(Retryable)
              await server.restart()
              await persistently(apply)
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
      { numRuns: 3 },
    )
    await store.close()
  }, 120_000)
})

/** As the engine does: tried again while the error says that it may help. */
async function persistently<T>(work: () => Promise<T>): Promise<T> {
  const since = Date.now()
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof Retryable) || Date.now() - since > 20_000) throw error
      await sleep(200)
    }
  }
}
