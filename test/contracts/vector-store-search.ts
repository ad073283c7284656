import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { InvalidInput } from '../../src/core/errors.ts'
import { type FieldValue, type Filter, matchesFilter } from '../../src/core/filter.ts'
import type { Collection, VectorPoint, VectorStore } from '../../src/core/vector-store.ts'
import { wordsOf, wordsOfFields } from '../../src/core/words.ts'
import { search } from '../../src/search/search.ts'
import type { VectorStoreStorage } from './vector-store.ts'
import { pointOf, vectorOf } from './vector-store-model.ts'

const odd = 'odd name.with "quotes`'
const fields = ['subject', 'body', odd, 'priority', 'open']
const towards = vectorOf(1, 0, 0)
const day = 24 * 60 * 60 * 1_000

export interface SearchContractOptions {
  /** Whether the store can look for words. */
  readonly words: boolean
  /** How many random collections to compare with the model. */
  readonly runs?: number
}

/** What `searchWords` of every store that has it must hold to, and what `search` makes of any store. */
export function searchContract(
  name: string,
  prepare: () => Promise<VectorStoreStorage>,
  { words, runs = 10 }: SearchContractOptions,
): void {
  describe(`search in ${name}`, () => {
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

    async function filled(points: readonly VectorPoint[]): Promise<Collection> {
      const spec = { name: `c${randomUUID().replaceAll('-', '')}`, fingerprint: 'model-a', dimension: 3, fields }
      const collection = await store.open(spec)
      expect(await collection.upsert(points)).toEqual([])
      return collection
    }

    /** The ids of what has the words, best first; only those that have one of them indeed, as stores may answer more. */
    async function having(
      collection: Collection,
      text: string,
      { k = 100, filter }: { k?: number; filter?: Filter } = {},
    ) {
      const words = [...new Set(wordsOf(text))]
      const matches = (await collection.searchWords?.({ words, vector: towards, k, filter })) ?? []
      const ids = matches.map(({ id }) => id)
      expect(new Set(ids).size).toBe(ids.length)
      expect(ids.length).toBeLessThanOrEqual(k)
      return matches
        .filter((match) => wordsOfFields(match.fields).some((word) => words.includes(word)))
        .map(({ id }) => id)
    }

    test('says whether it can look for words', async () => {
      expect((await filled([])).searchWords !== undefined).toBe(words)
    })

    const forWords = words ? describe : () => undefined
    forWords('for words', () => {
      test('in any field with texts, whole, in any case, with how near they are', async () => {
        const collection = await filled([
          pointOf('near', [1, 0.1, 0], { subject: 'Error ERR_4711 in checkout', priority: 4711 }, 1),
          pointOf('far', [-1, 0, 0], { body: 'see error,4711.', open: true }, 2),
          pointOf('longer', [1, 0, 0], { subject: 'error 47110, or 14711' }),
          pointOf('other', [1, 0, 0], { subject: 'nothing of it', priority: 4711 }),
          pointOf('odd', [0, 1, 0], { [odd]: 'here is 4711 too' }),
          pointOf('none', [0, 1, 0], {}),
        ])
        const matches = (await collection.searchWords?.({ words: ['4711'], vector: towards, k: 10 })) ?? []
        const found = new Map(matches.map((match) => [match.id, match]))
        for (const id of ['near', 'far', 'odd']) expect(found.has(id)).toBe(true)
        expect(found.get('far')?.score).toBeCloseTo(-1, 5)
        expect(found.get('near')).toEqual({
          id: 'near',
          score: expect.closeTo(1 / Math.hypot(1, 0.1), 5),
          fields: expect.objectContaining({ subject: 'Error ERR_4711 in checkout', priority: 4711 }),
          timestamp: 1_700_000_000_001,
          position: { topic: 'orders', partition: 3, offset: 1 },
        })
        expect((await having(collection, '4711')).sort()).toEqual(['far', 'near', 'odd'])
        expect((await having(collection, 'eRRoR checkout')).sort()).toEqual(['far', 'longer', 'near'])
      })

      test('as soon as they are written, and never after they are gone', async () => {
        const collection = await filled([pointOf('a', [1, 0, 0], { subject: 'alpha beta' })])
        expect(await having(collection, 'alpha')).toEqual(['a'])
        await collection.upsert([pointOf('a', [0, 1, 0], { body: 'gamma' }), pointOf('b', [0, 1, 0], { body: 'beta' })])
        expect(await having(collection, 'alpha')).toEqual([])
        expect((await having(collection, 'beta gamma')).sort()).toEqual(['a', 'b'])
        await collection.upsert([pointOf('a', [0, 1, 0], { priority: 1 })])
        expect(await having(collection, 'gamma')).toEqual([])
        await collection.delete(['b'])
        expect(await having(collection, 'beta')).toEqual([])
      })

      test('one rare word in thousands of others, however far away', async () => {
        const common = Array.from({ length: 3_000 }, (_, n) =>
          pointOf(`p${n}`, [1, n / 30_000, 0], { subject: 'an error in checkout', body: `turn x${n}` }, n),
        )
        const collection = await filled([...common, pointOf('rare', [-1, 0, 0], { subject: 'code 4711 was shown' })])
        expect((await having(collection, 'error 4711 in checkout', { k: 20 }))[0]).toBe('rare')
        expect((await having(collection, 'error x77 in checkout', { k: 20 }))[0]).toBe('p77')
      })

      test('those with more and rarer words first', async () => {
        const others = Array.from({ length: 40 }, (_, n) => pointOf(`p${n}`, [1, 0, 0], { subject: 'printer' }))
        const collection = await filled([
          ...others,
          pointOf('both', [-1, 0, 0], { subject: 'printer', body: 'kyocera' }),
          pointOf('one', [1, 0, 0], { body: 'kyocera' }),
        ])
        expect((await having(collection, 'printer kyocera', { k: 5 })).slice(0, 2)).toEqual(['both', 'one'])
      })

      test('only where the filter holds', async () => {
        const collection = await filled([
          pointOf('a', [1, 0, 0], { subject: 'refund', priority: 1 }),
          pointOf('b', [0, 1, 0], { subject: 'refund', priority: 2 }),
          pointOf('c', [0, 1, 0], { subject: 'refund' }),
          pointOf('d', [0, 1, 0], { subject: 'other', priority: 2 }),
        ])
        expect(await having(collection, 'refund', { filter: { priority: { $gte: 2 } } })).toEqual(['b'])
        expect((await having(collection, 'refund', { filter: { priority: { $ne: 2 } } })).sort()).toEqual(['a', 'c'])
        expect(await having(collection, 'refund', { filter: { subject: { $gt: 'zzz' } } })).toEqual([])
        const query = { words: ['refund'], vector: towards, k: 3 }
        await expect(collection.searchWords?.({ ...query, filter: { priorty: 1 } })).rejects.toThrow(InvalidInput)
        await expect(collection.searchWords?.({ ...query, vector: vectorOf(1, 0) })).rejects.toThrow(InvalidInput)
        await expect(collection.searchWords?.({ ...query, k: 0 })).rejects.toThrow(InvalidInput)
      })

      test('whatever stands around them, and whatever they are made of', async () => {
        const texts: readonly (readonly [string, string])[] = [
          [`100% "it's" a_b*c \\ back`, 'it b back 100'],
          ['line\none\r\ttabbed', 'one tabbed'],
          ['“quoted”–dashed…', 'quoted dashed'],
          ['mail@example.com, http://example.org/a/path?x=1', 'example path com'],
          ['v1.2.3-rc.4 at 127.0.0.1, or -42', 'rc4 rc 42 127'],
          ['ÜBERFÄLLE in Straße', 'überfälle straße'],
          ['cafe\u0301 au lait', 'café'],
          ['ΟΔΟΣ Москва 東京都', 'москва 東京都'],
          ['हिन्दी में', 'हिन्दी'],
          ['select or and not null', 'null or and'],
          ["'; DROP TABLE x; -- $$ {{}} [[", 'drop'],
          ['😀smile😀', 'smile'],
        ]
        const points = texts.map(([text], n) => pointOf(`t${n}`, [1, n / 10, 0], { subject: text }))
        const collection = await filled(points)
        for (const [n, [text, wanted]] of texts.entries()) {
          for (const word of wordsOf(wanted).filter((word) => wordsOf(text).includes(word))) {
            expect([word, await having(collection, word)]).toEqual([word, expect.arrayContaining([`t${n}`])])
          }
        }
      })

      test('not when the store is closed', async () => {
        const collection = await filled([pointOf('a', [1, 0, 0], { subject: 'word' })])
        await store.close()
        const late = collection.searchWords?.({ words: ['word'], vector: towards, k: 1 })
        await expect(late).rejects.toMatchObject({ code: 'vector_store_closed' })
      })

      test('nothing where there is nothing', async () => {
        expect(await having(await filled([]), 'word')).toEqual([])
        const collection = await filled([pointOf('a', [1, 0, 0], { priority: 1, open: true })])
        expect(await having(collection, '1 true word')).toEqual([])
        await collection.upsert([pointOf('b', [1, 0, 0], { subject: '' }), pointOf('c', [1, 0, 0], { subject: '…!' })])
        expect(await having(collection, 'word null undefined')).toEqual([])
      })

      test('of many words, and in long texts', async () => {
        const many = Array.from({ length: 16 }, (_, n) => `word${n}`)
        const long = `${'filling the page '.repeat(1_000)} needle`
        const collection = await filled([
          ...many.map((word, n) => pointOf(word, [1, n / 10, 0], { subject: word })),
          pointOf('long', [1, 0, 0], { body: long }),
          pointOf('unbroken', [1, 0, 0], { body: `${'x'.repeat(300)} pin` }),
        ])
        expect((await having(collection, many.join(' '))).sort()).toEqual([...many].sort())
        expect(await having(collection, 'needle')).toEqual(['long'])
        expect(await having(collection, 'pin')).toEqual(['unbroken'])
        expect(await having(collection, 'x'.repeat(300))).toEqual(['unbroken'])
      })
    })

    describe('by meaning, words and age', () => {
      test('by meaning alone is what the store finds', async () => {
        const collection = await filled([pointOf('a', [1, 0, 0], {}), pointOf('b', [1, 1, 0], {})])
        const matches = await search(collection, { vector: towards, k: 2, minScore: 0.1 })
        expect(matches.map(({ id, score, similarity }) => [id, score === similarity])).toEqual([
          ['a', true],
          ['b', true],
        ])
      })

      test('with words puts what has them first, and tells both parts of the score', async () => {
        const collection = await filled([
          pointOf('near', [1, 0.2, 0], { subject: 'the parcel is late' }),
          pointOf('having', [1, 0.6, 0], { subject: 'tracking code 4711' }),
          pointOf('neither', [0, 1, 0], { subject: 'hello' }),
        ])
        const query = { vector: towards, k: 2 }
        const hybrid = { ...query, words: { text: 'parcel? 4711 code', weight: 0.5 } }
        expect((await search(collection, query)).map(({ id }) => id)).toEqual(['near', 'having'])
        const matches = await search(collection, hybrid)
        expect(matches.map(({ id }) => id)).toEqual(['having', 'near'])
        for (const { score, similarity, words = 0 } of matches) {
          expect(words).toBeGreaterThan(0)
          expect(score).toBeCloseTo((similarity + words) / 2, 5)
        }
        const [best] = matches
        expect(await search(collection, { ...hybrid, minScore: best?.score })).toHaveLength(1)
        expect(
          (await search(collection, { ...hybrid, filter: { subject: { $ne: 'tracking code 4711' } } }))[0]?.id,
        ).toBe('near')
      })

      test('with age puts the newer first, from beyond the first candidates', async () => {
        const now = 1_800_000_000_000
        const old = Array.from({ length: 400 }, (_, n) => ({
          ...pointOf(`old${n}`, [1, n / 10_000, 0], {}),
          timestamp: now - 700 * day,
        }))
        const collection = await filled([...old, { ...pointOf('new', [1, 0.3, 0], {}), timestamp: now - day }])
        const recency = { halfLife: 30 * day, weight: 0.5 }
        const [first, second] = await search(collection, { vector: towards, k: 2, recency }, () => now)
        expect(first?.id).toBe('new')
        expect(first?.similarity).toBeCloseTo(1 / Math.hypot(1, 0.3), 4)
        expect(second?.score).toBeCloseTo(0.5, 4)
      })

      test('is the same as over all points, whatever they are', async () => {
        const now = 1_700_000_000_000
        const word = fc.constantFrom('error', 'in', 'checkout', '4711', 'Überfall')
        const point = fc.record({
          vector: fc.tuple(fc.integer({ min: -9, max: 9 }), fc.integer({ min: -9, max: 9 }), fc.constant(1)),
          text: fc.array(word, { maxLength: 6 }),
          priority: fc.constantFrom<FieldValue>(1, 2, null),
          days: fc.nat(60),
        })
        const query = fc.record({
          k: fc.integer({ min: 1, max: 6 }),
          words: fc.option(fc.record({ text: fc.array(word).map(join), weight: fc.constantFrom(0, 0.3, 1) }), {
            nil: undefined,
          }),
          recency: fc.option(fc.record({ halfLife: fc.constantFrom(day, 20 * day), weight: fc.constantFrom(0.3, 1) }), {
            nil: undefined,
          }),
          filter: fc.constantFrom<Filter | undefined>(undefined, { priority: 1 }, { priority: { $exists: false } }),
          minScore: fc.constantFrom(undefined, -0.2, 0.4),
        })
        await fc.assert(
          fc.asyncProperty(
            fc.array(point, { maxLength: 30 }),
            fc.array(query, { maxLength: 6 }),
            async (all, queries) => {
              const points = all.map(({ vector, text, priority, days }, n) => ({
                ...pointOf(`p${n}`, vector, { subject: join(text), priority }),
                timestamp: now - days * day,
              }))
              const collection = await filled(points)
              for (const query of queries) {
                const found = await search(collection, { ...query, vector: towards }, () => now)
                const reference = await search(inMemory(points), { ...query, vector: towards }, () => now)
                expect(found.map(({ score }) => score.toFixed(4))).toEqual(
                  reference.map(({ score }) => score.toFixed(4)),
                )
              }
            },
          ),
          { numRuns: runs },
        )
      })
    })
  })
}

function join(words: readonly string[]): string {
  return words.join(' ')
}

/** A collection that looks at every point; the reference that stores are held to. */
export function inMemory(points: readonly VectorPoint[]): Pick<Collection, 'spec' | 'search' | 'searchWords'> {
  const nearest = (vector: Float32Array, some: readonly VectorPoint[], filter: Filter | undefined) =>
    some
      .filter(({ fields }) => filter === undefined || matchesFilter(filter, fields))
      .map(({ vector: own, ...point }) => ({ ...point, score: cosine(own, vector) }))
      .sort((left, right) => right.score - left.score)
  return {
    spec: { name: 'memory', fingerprint: 'model-a', dimension: points[0]?.vector.length ?? 3, fields },
    search: async ({ vector, k, filter, minScore = -1 }) =>
      nearest(vector, points, filter)
        .filter(({ score }) => score >= minScore)
        .slice(0, k),
    searchWords: async ({ vector, k, filter, words }) => {
      const some = points.filter(({ fields }) => wordsOfFields(fields).some((word) => words.includes(word)))
      return nearest(vector, some, filter).slice(0, k)
    },
  }
}

function cosine(left: Float32Array, right: Float32Array): number {
  const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, number, index) => sum + number * (b[index] ?? 0), 0)
  return dot(left, right) / Math.sqrt(dot(left, left) * dot(right, right))
}
