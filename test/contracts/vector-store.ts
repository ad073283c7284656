import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Fatal, InvalidInput } from '../../src/core/errors.ts'
import type { FieldValue, Filter } from '../../src/core/filter.ts'
import type { Collection, CollectionSpec, VectorPoint, VectorStore } from '../../src/core/vector-store.ts'
import { filterOf, modelSearch, pointOf, scalarFields, vectorOf } from './vector-store-model.ts'

export interface VectorStoreStorage {
  /** Opens the store on the same storage each time. */
  open(): Promise<VectorStore>
  remove(): Promise<void>
}

export interface VectorStoreContractOptions {
  /** How many random histories to compare with the model. */
  readonly runs?: number
}

/** What every vector store must hold to. */
export function vectorStoreContract(
  name: string,
  prepare: () => Promise<VectorStoreStorage>,
  { runs = 25 }: VectorStoreContractOptions = {},
): void {
  describe(`${name} is a vector store`, () => {
    let storage: VectorStoreStorage
    let store: VectorStore

    beforeEach(async () => {
      storage = await prepare()
      store = await storage.open()
    })
    afterEach(async () => {
      await store.close()
      await storage.remove()
    })

    function spec(changes: Partial<CollectionSpec> = {}): CollectionSpec {
      return {
        name: `c${randomUUID().replaceAll('-', '')}`,
        fingerprint: 'model-a',
        dimension: 3,
        fields: scalarFields,
        ...changes,
      }
    }

    async function filled(points: readonly VectorPoint[]): Promise<Collection> {
      const collection = await store.open(spec())
      expect(await collection.upsert(points)).toEqual([])
      return collection
    }

    async function ids(collection: Collection, filter?: Filter): Promise<string[]> {
      const matches = await collection.search({ vector: vectorOf(1, 1, 1), k: 100, filter })
      return matches.map(({ id }) => id).sort()
    }

    test('what was upserted is found by the next search, whole', async () => {
      const collection = await filled([
        pointOf('near', [1, 0.1, 0], { category: 'a', priority: 1.5, open: false }, 41),
        pointOf('far', [-1, 0, 0], { category: 'b' }, 42),
        pointOf('across', [0, 1, 0], {}, 43),
      ])
      const matches = await collection.search({ vector: vectorOf(2, 0, 0), k: 2 })
      expect(matches.map(({ id }) => id)).toEqual(['near', 'across'])
      expect(matches[0]).toEqual({
        id: 'near',
        score: expect.closeTo(1 / Math.hypot(1, 0.1), 5),
        fields: { category: 'a', priority: 1.5, open: false },
        timestamp: 1_700_000_000_041,
        position: { topic: 'orders', partition: 3, offset: 41 },
      })
      expect(matches[1]?.score).toBeCloseTo(0, 5)
      expect(await collection.count()).toBe(3)
    })

    test('an empty collection has no matches', async () => {
      const collection = await store.open(spec())
      expect(await collection.search({ vector: vectorOf(1, 0, 0), k: 5 })).toEqual([])
      expect(await collection.count()).toBe(0)
    })

    test('a second upsert under an id replaces the first, fields included', async () => {
      const collection = await filled([pointOf('x', [1, 0, 0], { category: 'old', priority: 1 })])
      await collection.upsert([pointOf('x', [0, 1, 0], { category: 'new' }, 7)])
      const matches = await collection.search({ vector: vectorOf(0, 1, 0), k: 5 })
      expect(matches).toHaveLength(1)
      expect(matches[0]).toMatchObject({ score: expect.closeTo(1, 5), position: { offset: 7 } })
      expect(matches[0]?.fields.category).toBe('new')
      expect(matches[0]?.fields.priority ?? null).toBeNull()
      expect(await collection.count()).toBe(1)
    })

    test('of one id several times in one upsert the last counts', async () => {
      const collection = await filled([
        pointOf('x', [1, 0, 0], { category: 'first' }),
        pointOf('y', [1, 0, 0], {}),
        pointOf('x', [0, 1, 0], { category: 'last' }),
      ])
      expect(await collection.count()).toBe(2)
      expect(await ids(collection, { category: 'last' })).toEqual(['x'])
    })

    test('deletes by id; unknown ids do not matter; a deleted id may come back', async () => {
      const collection = await filled([pointOf('a', [1, 0, 0], {}), pointOf("b'; --", [1, 0, 0], {})])
      await collection.delete(["b'; --", 'never there'])
      await collection.delete([])
      expect(await ids(collection)).toEqual(['a'])
      await collection.upsert([pointOf("b'; --", [1, 0, 0], {})])
      expect(await ids(collection)).toEqual(['a', "b'; --"])
      expect(await collection.count()).toBe(2)
    })

    test('minScore and k bound the matches, best first', async () => {
      const collection = await filled(
        Array.from({ length: 20 }, (_, index) =>
          pointOf(`p${index}`, [Math.cos(index / 10), Math.sin(index / 10), 0], {}),
        ),
      )
      const query = { vector: vectorOf(1, 0, 0), k: 20 }
      const matches = await collection.search({ ...query, minScore: Math.cos(0.55) })
      expect(matches.map(({ id }) => id)).toEqual(['p0', 'p1', 'p2', 'p3', 'p4', 'p5'])
      expect((await collection.search({ ...query, k: 3 })).map(({ id }) => id)).toEqual(['p0', 'p1', 'p2'])
    })

    const filters: readonly (readonly [Filter, readonly string[]])[] = [
      [{}, ['a', 'b', 'c', 'd']],
      [{ category: 'billing' }, ['a']],
      [{ category: { $eq: "it's" } }, ['b']],
      [{ category: { $ne: 'billing' } }, ['b', 'c', 'd']],
      [{ priority: { $gt: 1 } }, ['b', 'c']],
      [{ priority: { $gte: 1, $lt: 2.5 } }, ['a', 'b']],
      [{ priority: { $lte: -0 } }, ['d']],
      [{ priority: { $in: [1, 2.5] } }, ['a', 'c']],
      [{ priority: { $nin: [1, 2.5] } }, ['b', 'd']],
      [{ priority: '1' }, []],
      [{ priority: { $ne: '1' } }, ['a', 'b', 'c', 'd']],
      [{ category: { $in: [] } }, []],
      [{ category: { $nin: [] } }, ['a', 'b', 'c', 'd']],
      [{ category: { $exists: true } }, ['a', 'b']],
      [{ category: { $exists: false } }, ['c', 'd']],
      [{ open: true, priority: 2 }, ['b']],
      [{ open: { $ne: true } }, ['a', 'c', 'd']],
      [{ $or: [{ category: 'billing' }, { priority: { $gt: 2 } }] }, ['a', 'c']],
      [{ $and: [{ open: { $exists: true } }, { $or: [{ priority: 1 }, { priority: 2.5 }] }] }, ['a']],
      [{ $or: [] }, []],
      [{ category: { $gt: 'billing' } }, ['b']],
      [{ category: "x' OR '1' = '1" }, []],
      [{ category: '\\' }, []],
      [{ 'odd name.with "quotes`': 'here' }, ['d']],
    ]
    test.each(filters)('filter %j', async (filter, expected) => {
      const collection = await filled([
        pointOf('a', [1, 0, 0], { category: 'billing', priority: 1, open: false }),
        pointOf('b', [0, 1, 0], { category: "it's", priority: 2, open: true }),
        pointOf('c', [0, 0, 1], { priority: 2.5 }),
        pointOf('d', [1, 1, 1], { category: null, priority: 0, 'odd name.with "quotes`': 'here' }),
      ])
      expect(await ids(collection, filter)).toEqual(expected)
    })

    test('points that can never be accepted are answered by index, and the others are stored', async () => {
      const collection = await filled([pointOf('typed', [1, 0, 0], { priority: 1 })])
      const rejections = await collection.upsert([
        pointOf('short', [1, 0], {}),
        pointOf('good', [1, 0, 0], { priority: 2 }),
        pointOf('zero', [0, 0, 0], {}),
        pointOf('infinite', [Number.POSITIVE_INFINITY, 0, 0], {}),
        pointOf('text', [1, 0, 0], { priority: 'high' }),
        pointOf('strange', [1, 0, 0], { unheard: 1 }),
      ])
      expect(rejections.map(({ index, code }) => [index, code])).toEqual([
        [0, 'bad_vector'],
        [2, 'bad_vector'],
        [3, 'bad_vector'],
        [4, 'field_type'],
        [5, 'unknown_field'],
      ])
      expect(await ids(collection)).toEqual(['good', 'typed'])
    })

    test('of two first values of a field that are written at once, one says what the field holds', async () => {
      const collection = await filled([])
      const answers = await Promise.all([
        collection.upsert([pointOf('number', [1, 0, 0], { priority: 1 })]),
        collection.upsert([pointOf('text', [1, 0, 0], { priority: 'high' })]),
      ])
      expect(answers.flat().map(({ code }) => code)).toEqual(['field_type'])
      expect(await collection.count()).toBe(1)
    })

    test('a wrong query is the caller’s mistake', async () => {
      const collection = await filled([pointOf('a', [1, 0, 0], {})])
      const vector = vectorOf(1, 0, 0)
      await expect(collection.search({ vector: vectorOf(1, 0), k: 1 })).rejects.toThrow(InvalidInput)
      await expect(collection.search({ vector: vectorOf(0, 0, 0), k: 1 })).rejects.toThrow(InvalidInput)
      await expect(collection.search({ vector, k: 0 })).rejects.toThrow(InvalidInput)
      await expect(collection.search({ vector, k: 1, filter: { categry: 'a' } })).rejects.toThrow(
        /"categry".*did you mean "category"/,
      )
    })

    test('vectors of two models never mix', async () => {
      const wanted = spec()
      await (await store.open(wanted)).upsert([pointOf('a', [1, 0, 0], {})])
      for (const other of [{ fingerprint: 'model-b' }, { dimension: 4 }]) {
        const opening = store.open({ ...wanted, ...other })
        await expect(opening).rejects.toThrow(Fatal)
        await expect(opening).rejects.toMatchObject({ code: 'fingerprint_mismatch' })
      }
      await store.close()
      store = await storage.open()
      await expect(store.open({ ...wanted, fingerprint: 'model-b' })).rejects.toMatchObject({
        code: 'fingerprint_mismatch',
      })
    })

    test('fields that are new are added, and those before stay', async () => {
      const wanted = spec({ fields: ['category'] })
      const before = await store.open(wanted)
      await before.upsert([pointOf('a', [1, 0, 0], { category: 'x' })])
      const after = await store.open({ ...wanted, fields: ['priority'] })
      expect([...after.spec.fields].sort()).toEqual(['category', 'priority'])
      expect(await ids(after, { priority: { $exists: false } })).toEqual(['a'])
      await after.upsert([pointOf('b', [1, 0, 0], { priority: 5 })])
      await before.upsert([pointOf('c', [1, 0, 0], { category: 'x' })])
      expect(await ids(after, { category: 'x' })).toEqual(['a', 'c'])
      expect(await ids(after, { priority: 5 })).toEqual(['b'])
    })

    test('is the same after closing and opening again', async () => {
      const wanted = spec()
      await (await store.open(wanted)).upsert([pointOf('a', [1, 2, 3], { category: 'x', open: true })])
      await store.close()
      store = await storage.open()
      const found = await store.find(wanted.name)
      expect(found?.spec.fingerprint).toBe('model-a')
      expect(found?.spec.dimension).toBe(3)
      expect([...(found?.spec.fields ?? [])].sort()).toEqual([...scalarFields].sort())
      const matches = await found?.search({ vector: vectorOf(1, 2, 3), k: 5, filter: { open: true } })
      expect(matches?.map(({ id }) => id)).toEqual(['a'])
    })

    test('a scan, where there is one, gives every point once, without its vector', async () => {
      const points = Array.from({ length: 1_200 }, (_, n) => pointOf(`p'${n}`, [1, n, 0], { category: `c${n % 7}` }, n))
      const collection = await filled(points)
      if (collection.scan === undefined) return
      const seen = new Map<string, unknown>()
      let pages = 0
      for await (const page of collection.scan()) {
        pages++
        for (const { id, fields, timestamp, position } of page) {
          expect(seen.has(id)).toBe(false)
          seen.set(id, { category: fields.category, timestamp, position })
        }
      }
      expect(pages).toBeGreaterThan(1)
      const expected = points.map(({ id, fields, timestamp, position }) => {
        return [id, { category: fields.category, timestamp, position }] as const
      })
      expect(seen).toEqual(new Map(expected))
    })

    test('how long a vector is does not matter, only where it points', async () => {
      const collection = await filled([
        pointOf('tiny', [1e-30, 0, 0], {}),
        pointOf('small', [1e-5, 1e-5, 0], {}),
        pointOf('plain', [0, 1, 1], {}),
        pointOf('huge', [0, 0, 3e38], {}),
      ])
      for (const length of [1e-25, 1, 1e25]) {
        const matches = await collection.search({ vector: vectorOf(length, length / 2, length / 4), k: 9 })
        const most = Math.hypot(1, 1 / 2, 1 / 4)
        const expected = [
          ['small', 1.5 / Math.SQRT2 / most],
          ['tiny', 1 / most],
          ['plain', 0.75 / Math.SQRT2 / most],
          ['huge', 0.25 / most],
        ]
        expect(matches.map(({ id, score }) => [id, score.toFixed(4)])).toEqual(
          expected.map(([id, score]) => [id, Number(score).toFixed(4)]),
        )
      }
    })

    test('names of fields that differ in case only are different fields', async () => {
      const collection = await store.open(spec({ fields: ['name', 'Name', 'NAME'] }))
      await collection.upsert([
        pointOf('a', [1, 0, 0], { name: 'x', Name: 5 }),
        pointOf('b', [1, 0, 0], { NAME: true }),
      ])
      expect(await ids(collection, { name: 'x', Name: { $gt: 4 } })).toEqual(['a'])
      expect(await ids(collection, { NAME: true, name: { $exists: false } })).toEqual(['b'])
    })

    test('ids that become the same text in UTF-8 are one', async () => {
      const collection = await filled([pointOf('x\ud800', [1, 0, 0], {}, 1), pointOf('x\udbff', [1, 0, 0], {}, 2)])
      const matches = await collection.search({ vector: vectorOf(1, 0, 0), k: 9 })
      expect(matches.map(({ position }) => position.offset)).toEqual([2])
      await collection.upsert([pointOf('y', [1, 0, 0], { category: '\udc00' })])
      expect(await ids(collection, { category: '\udc00' })).toEqual(['y'])
      expect(await ids(collection, { category: { $in: ['\udc00'] } })).toEqual(['y'])
      await collection.delete(['y'])
      await collection.delete(['x\ud801'])
      expect(await collection.count()).toBe(0)
    })

    test('nothing to do is done, and more matches than there are points are no mistake', async () => {
      const collection = await filled([])
      await collection.delete([])
      await collection.upsert([pointOf('a', [1, 0, 0], {})])
      expect(await collection.search({ vector: vectorOf(1, 0, 0), k: 10_000 })).toHaveLength(1)
      await expect(collection.search({ vector: vectorOf(1, 0, 0), k: 10_001 })).rejects.toThrow(InvalidInput)
    })

    test('closing waits for what is being written; afterwards every call says that it is closed', async () => {
      const wanted = spec()
      const collection = await store.open(wanted)
      const writes = Promise.all(
        Array.from({ length: 5 }, (_, n) => collection.upsert([pointOf(`p${n}`, [1, 0, 0], { priority: n })])),
      )
      await Promise.race([writes, collection.count()])
      await store.close()
      expect(await writes).toEqual([[], [], [], [], []])
      await store.close()
      const calls: (() => Promise<unknown>)[] = [
        () => collection.upsert([pointOf('late', [1, 0, 0], {})]),
        () => collection.delete(['p1']),
        () => collection.search({ vector: vectorOf(1, 0, 0), k: 1 }),
        () => collection.count(),
        () => store.open(wanted),
        () => store.find(wanted.name),
        () => store.collections(),
      ]
      for (const call of calls) await expect(call()).rejects.toMatchObject({ code: 'vector_store_closed' })
      store = await storage.open()
      expect(await (await store.find(wanted.name))?.count()).toBe(5)
    })

    test('knows which collections there are', async () => {
      const wanted = spec()
      expect(await store.find(wanted.name)).toBeUndefined()
      await (await store.open(wanted)).upsert([pointOf('a', [1, 0, 0], {})])
      const listed = (await store.collections()).find((entry) => entry.spec.name === wanted.name)
      expect(listed).toMatchObject({ count: 1, spec: { fingerprint: 'model-a', dimension: 3 } })
    })

    test('concurrent writers of the same ids leave each once', async () => {
      const wanted = spec()
      const handles = await Promise.all(Array.from({ length: 4 }, () => store.open(wanted)))
      await Promise.all(
        Array.from({ length: 40 }, (_, turn) => {
          const handle = handles[turn % handles.length]
          const points = Array.from({ length: 10 }, (_, n) => pointOf(`k${(turn + n) % 25}`, [1, turn, n], {}, turn))
          return turn % 7 === 3 ? handle?.delete([`k${turn % 25}`]) : handle?.upsert(points)
        }),
      )
      const collection = await store.open(wanted)
      await collection.upsert(Array.from({ length: 25 }, (_, n) => pointOf(`k${n}`, [1, 0, 0], {})))
      expect(await collection.count()).toBe(25)
      const all = await ids(collection)
      expect(all).toHaveLength(25)
      expect(new Set(all).size).toBe(25)
    })

    test('behaves as the model does, whatever is upserted, deleted and searched', async () => {
      const id = fc.constantFrom('a', 'b', "c'", 'd\\', 'e', 'f')
      const coordinate = fc.constantFrom(-1, -0.5, 0.25, 1)
      const vector = fc.tuple(coordinate, coordinate, coordinate)
      const fields = fc.record(
        {
          category: fc.constantFrom<FieldValue>('x', 'y', "z'z", '', '\u{10000}', '\uffee', null),
          priority: fc.constantFrom<FieldValue>(-2, -0, 0, 0.1, 3, 1e21, null),
          open: fc.constantFrom<FieldValue>(true, false, null),
        },
        { requiredKeys: [] },
      )
      const search = fc.record({ vector, k: fc.constantFrom(2, 8), filter: filterOf() })
      const step = fc.oneof(
        { weight: 2, arbitrary: fc.record({ upsert: fc.array(fc.record({ id, vector, fields }), { minLength: 1 }) }) },
        { weight: 1, arbitrary: fc.record({ delete: fc.array(id, { minLength: 1, maxLength: 3 }) }) },
        { weight: 6, arbitrary: fc.record({ search }) },
      )
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 6, maxLength: 20 }), async (steps) => {
          const collection = await store.open(spec())
          const model = new Map<string, VectorPoint>()
          for (const step of steps) {
            if ('upsert' in step) {
              const points = step.upsert.map((made, index) => pointOf(made.id, made.vector, made.fields, index))
              expect(await collection.upsert(points)).toEqual([])
              for (const point of points) model.set(point.id, point)
            } else if ('delete' in step) {
              await collection.delete(step.delete)
              for (const gone of step.delete) model.delete(gone)
            } else {
              const query = { ...step.search, vector: Float32Array.from(step.search.vector) }
              const matches = await collection.search(query)
              expect(await collection.count()).toBe(model.size)
              modelSearch(model, query).assertSame(matches)
            }
          }
        }),
        { numRuns: runs },
      )
    })
  })
}
