import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { StandingQueries } from '../../src/live/standing-queries.ts'

const unit = (vector: readonly number[]) => Float32Array.from(vector, (value) => value / Math.hypot(...vector))

test('scores are the cosine to each query, and rows are used again', async () => {
  const entries = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 4, maxLength: 4 })
  await fc.assert(
    fc.asyncProperty(
      fc.array(entries, { minLength: 1, maxLength: 40 }),
      fc.array(entries, { maxLength: 5 }),
      async (vectors, others) => {
        const queries = new StandingQueries()
        queries.add('kept', Float32Array.of(1, 0, 0, 0))
        const handles = vectors.map((vector) => ({
          vector,
          query: queries.add(JSON.stringify(vector), Float32Array.from(vector)),
        }))
        const events = [[3, 1, 4, 1], ...others].map(unit)
        const compared = await queries.compare(events)
        for (const { vector, query } of handles) {
          const expected = events.map((event) =>
            unit(vector).reduce((sum, value, index) => sum + value * (event[index] ?? 0), 0),
          )
          for (const scores of [compared.scores(query, -2), queries.scores(query, events)]) {
            expect(scores?.length).toBe(events.length)
            for (const [index, score] of expected.entries()) expect(scores?.[index]).toBeCloseTo(score, 5)
          }
        }
        for (const { query } of handles) {
          query.release()
          query.release()
        }
        expect(queries.size).toBe(1)
        expect(queries.add('fresh', Float32Array.of(0, 1, 0, 0)).row).toBeLessThanOrEqual(vectors.length)
      },
    ),
  )
})

test('a vector is compared with the queries of its dimension; one without a direction is refused', async () => {
  const queries = new StandingQueries()
  const plane = queries.add('a', Float32Array.of(1, 0))
  const space = queries.add('b', Float32Array.of(0, 0, 2))
  expect(() => queries.add('c', Float32Array.of(0, 0))).toThrow('no direction')
  const events = [Float32Array.of(0, 0, 1), undefined, Float32Array.of(0, 1), Float32Array.of(1, 0, 0, 0)]
  const compared = await queries.compare(events)
  expect(compared.scores(plane, -1)).toEqual(Float32Array.of(Number.NaN, Number.NaN, 0, Number.NaN))
  expect(compared.scores(space, -1)).toEqual(Float32Array.of(1, Number.NaN, Number.NaN, Number.NaN))
  expect(queries.scores(space, events)).toEqual(Float32Array.of(1, Number.NaN, Number.NaN, Number.NaN))
  space.release()
  const after = await queries.compare(events)
  expect(after.scores(plane, -1)).toEqual(Float32Array.of(Number.NaN, Number.NaN, 0, Number.NaN))
})

test('a query that no event is near enough to has no scores', async () => {
  const queries = new StandingQueries()
  const query = queries.add('a', Float32Array.of(1, 0))
  const compared = await queries.compare([Float32Array.of(0.6, 0.8), Float32Array.of(0, 1)])
  expect(compared.scores(query, 0.61)).toBeUndefined()
  expect(compared.scores(query, 0.59)?.length).toBe(2)
  const withNone = await queries.compare([Float32Array.of(0, 1), undefined])
  expect(withNone.scores(query, 0.5)?.[1]).toBeNaN()
})

test('an event whose vector has no numbers harms no other', async () => {
  const queries = new StandingQueries()
  const query = queries.add('a', Float32Array.of(1, 0))
  const compared = await queries.compare([
    Float32Array.of(Number.NaN, 0),
    Float32Array.of(0.6, 0.8),
    new Float32Array(2),
  ])
  expect(compared.scores(query, -1)).toEqual(Float32Array.of(Number.NaN, 0.6, 0))
})

describe('a query that comes while others are compared', () => {
  const direction = (index: number) => {
    const vector = new Float32Array(384)
    vector[index % 384] = 1
    return vector
  }

  test('is compared with the same events, even in the row of one that has gone', async () => {
    const queries = new StandingQueries()
    const known = Array.from({ length: 300 }, (_, index) => queries.add(`${index}`, direction(index)))
    const events = Array.from({ length: 40 }, (_, index) => direction(index))
    const comparison = queries.compare(events)
    known[7]?.release()
    const inItsRow = queries.add('in its row', direction(39))
    const again = queries.add('7', direction(7))
    const other = queries.add('of its own dimension', Float32Array.of(1))
    const compared = await comparison
    expect(inItsRow.row).toBe(known[7]?.row)
    const nearest = [inItsRow, again, known[8]].map((query) => query && compared.scores(query, 0.5)?.indexOf(1))
    expect(nearest).toEqual([39, 7, 8])
    expect(compared.scores(other, 0.5)?.every(Number.isNaN)).toBe(true)
  })

  test('so it is when all before it have gone', async () => {
    const queries = new StandingQueries()
    const only = queries.add('only', direction(0))
    const comparison = queries.compare([direction(1)])
    only.release()
    const next = queries.add('next', direction(1))
    expect((await comparison).scores(next, 0.5)).toEqual(Float32Array.of(1))
  })
})

test('the more queries there are, the fewer events are compared together', () => {
  const queries = new StandingQueries()
  expect(queries.vectorsAtATime).toBeGreaterThan(100_000)
  for (let index = 0; index < 50; index++) queries.add(`${index}`, Float32Array.of(1, index))
  expect(queries.vectorsAtATime).toBeLessThan(100_000)
  expect(queries.vectorsAtATime * queries.size).toBeGreaterThan(1_000_000)
})
