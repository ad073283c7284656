import fc from 'fast-check'
import { expect, test } from 'vitest'
import { InvalidInput } from '../../src/core/errors.ts'
import type { VectorPoint, VectorQuery, WordQuery } from '../../src/core/vector-store.ts'
import { type Searched, type SearchQuery, search } from '../../src/search/search.ts'
import { pointOf, vectorOf } from '../contracts/vector-store-model.ts'
import { inMemory } from '../contracts/vector-store-search.ts'

const now = 1_700_000_000_000
const day = 86_400_000
const towards = vectorOf(1, 0, 0)

/** A collection that says what it was asked for. */
function asked(points: readonly VectorPoint[]) {
  const inner = inMemory(points)
  const near: VectorQuery[] = []
  const words: WordQuery[] = []
  const collection: Searched = {
    spec: inner.spec,
    search: (query) => {
      near.push(query)
      return inner.search(query)
    },
    searchWords: async (query) => {
      words.push(query)
      return (await inner.searchWords?.(query)) ?? []
    },
  }
  return { collection, near, words }
}

function aged(id: string, angle: number, days: number, subject = ''): VectorPoint {
  return { ...pointOf(id, [Math.cos(angle), Math.sin(angle), 0], { subject }), timestamp: now - days * day }
}

test('by meaning alone one request is made, for just what is wanted', async () => {
  const { collection, near, words } = asked([aged('a', 0, 0), aged('b', 1, 0)])
  const query = { vector: towards, k: 7, filter: { subject: '' }, minScore: 0.2 }
  expect(await search(collection, query)).toHaveLength(2)
  expect(near).toEqual([query])
  expect(words).toEqual([])
})

test('a text without words is looked for by its meaning', async () => {
  const { collection, words } = asked([aged('a', 0, 0)])
  const [match] = await search(collection, { vector: towards, k: 1, words: { text: '?! …', weight: 0.9 } })
  expect(match?.score).toBeCloseTo(1, 5)
  expect(words).toEqual([])
})

test('each word is asked for once; of very many the longer ones and those with digits', async () => {
  const { collection, words } = asked([aged('a', 0, 0, 'checkout')])
  await search(collection, { vector: towards, k: 1, words: { text: 'Checkout checkout, E7!', weight: 0.5 } })
  expect(words[0]?.words).toEqual(['checkout', 'e7'])
  const many = [
    ...Array.from({ length: 40 }, (_, n) => 'ab'.repeat((n % 5) + 1) + String.fromCharCode(97 + n)),
    'x4711',
  ]
  await search(collection, { vector: towards, k: 1, words: { text: many.join(' '), weight: 0.5 } })
  expect(words[1]?.words).toHaveLength(16)
  expect(words[1]?.words).toContain('x4711')
})

test('what words find far away comes in with its own similarity; among equals the id decides', async () => {
  const points = [aged('far', Math.PI, 0, 'code 4711'), ...Array.from({ length: 300 }, (_, n) => aged(`p${n}`, 0.4, 0))]
  const { collection } = asked(points)
  const query = { vector: towards, k: 3, words: { text: 'code 4711', weight: 0.9 } }
  const matches = await search(collection, query)
  expect(matches.map(({ id }) => id)).toEqual(['far', 'p0', 'p1'])
  expect(matches[0]?.similarity).toBeCloseTo(-1, 5)
  const withoutWords = await search({ spec: collection.spec, search: collection.search }, query)
  expect(withoutWords.map(({ id }) => id)).toEqual(['p0', 'p1', 'p10'])
})

test('wrong weights and half-lives are the caller’s mistake', async () => {
  const { collection } = asked([])
  const wrong: Partial<SearchQuery>[] = [
    { words: { text: 'a', weight: 1.1 } },
    { words: { text: 'a', weight: Number.NaN } },
    { recency: { halfLife: 0, weight: 0.5 } },
    { recency: { halfLife: Number.POSITIVE_INFINITY, weight: 0.5 } },
    { recency: { halfLife: day, weight: -0.1 } },
    { recency: { halfLife: day, weight: 0.1 }, k: 0 },
    { words: { text: 'a', weight: 0.1 }, vector: vectorOf(1) },
  ]
  for (const part of wrong) {
    await expect(search(collection, { vector: towards, k: 1, ...part })).rejects.toThrow(InvalidInput)
  }
})

test('no more is fetched than it takes to be sure of the newest', async () => {
  const points = Array.from({ length: 5_000 }, (_, n) => aged(`p${n}`, n / 5_000, n % 100))
  const small = asked(points)
  await search(small.collection, { vector: towards, k: 5, recency: { halfLife: 90 * day, weight: 0.0001 } }, () => now)
  expect(small.near.map(({ k }) => k)).toEqual([100])
  const large = asked(points)
  await search(large.collection, { vector: towards, k: 5, recency: { halfLife: day, weight: 1 } }, () => now)
  expect(Math.max(...large.near.map(({ k }) => k))).toBeLessThanOrEqual(2_000)
  const bounded = asked(points)
  const query = { vector: towards, k: 5, minScore: 0.999, recency: { halfLife: day, weight: 1 } }
  expect(await search(bounded.collection, query, () => now)).toEqual(
    (await search(inMemory(points), { ...query, k: 5 }, () => now)).slice(0, 5),
  )
  expect(bounded.near.length).toBeLessThan(large.near.length)
})

test('with age the result is that of looking at every point', async () => {
  const point = fc.tuple(fc.double({ min: 0, max: Math.PI, noNaN: true }), fc.nat(400))
  await fc.assert(
    fc.asyncProperty(
      fc.array(point, { minLength: 150, maxLength: 900 }),
      fc.integer({ min: 1, max: 30 }),
      fc.integer({ min: 1, max: 200 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.constantFrom(undefined, 0.3, -0.5),
      async (made, k, halfLifeDays, weight, minScore) => {
        const points = made.map(([angle, days], n) => aged(`p${n}`, angle, days))
        const query = { vector: towards, k, minScore, recency: { halfLife: halfLifeDays * day, weight } }
        const found = await search(inMemory(points), query, () => now)
        const all = await inMemory(points).search({ vector: towards, k: points.length })
        const expected = all
          .map(({ score, timestamp }) => {
            const kept = 1 - weight + weight * 2 ** (-(now - timestamp) / (halfLifeDays * day))
            return score >= 0 ? score * kept : score * (2 - kept)
          })
          .filter((score) => score >= (minScore ?? -2))
          .sort((left, right) => right - left)
          .slice(0, k)
        expect(found.map(({ score }) => score.toFixed(9))).toEqual(expected.map((score) => score.toFixed(9)))
      },
    ),
    { numRuns: 60 },
  )
})

test('more weight on words never lets what has fewer of them pass', async () => {
  const text = fc.array(fc.constantFrom('error', '4711', 'in', 'checkout', 'parcel'), { maxLength: 8 })
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.double({ min: 0, max: Math.PI, noNaN: true }), text), { minLength: 2, maxLength: 40 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      async (made, one, other) => {
        const points = made.map(([angle, words], n) => aged(`p${n}`, angle, 0, words.join(' ')))
        const at = (weight: number) =>
          search(inMemory(points), { vector: towards, k: 40, words: { text: 'error 4711', weight } })
        const [less, more] = await Promise.all([at(Math.min(one, other)), at(Math.max(one, other))])
        const ranks = new Map(more.map(({ id }, index) => [id, index]))
        const rank = (id: string) => ranks.get(id) ?? 0
        for (const [index, left] of less.entries()) {
          for (const right of less.slice(index + 1)) {
            if ((left.words ?? 0) >= (right.words ?? 0) && left.score > right.score + 1e-12) {
              // It was ahead with no fewer words, so it stays ahead, or level.
              const [after, behind] = [more[rank(left.id)]?.score ?? 0, more[rank(right.id)]?.score ?? 0]
              expect(after).toBeGreaterThanOrEqual(behind - 1e-9)
            }
          }
        }
      },
    ),
    { numRuns: 40 },
  )
})
