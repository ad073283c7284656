import fc from 'fast-check'
import { expect, test } from 'vitest'
import { faded } from '../../src/search/recency.ts'

const day = 86_400_000
const recency = { halfLife: 7 * day, weight: 0.4 }

test('after each half-life, the part that fades is half as much', () => {
  expect(faded(1, 0, 0, recency)).toBe(1)
  expect(faded(1, 0, 7 * day, recency)).toBeCloseTo(0.8, 10)
  expect(faded(1, 0, 14 * day, recency)).toBeCloseTo(0.7, 10)
  expect(faded(0.5, 0, 10_000 * day, recency)).toBeCloseTo(0.3, 10)
})

test('what is dated in the future counts as new', () => {
  expect(faded(0.7, 99 * day, day, recency)).toBe(0.7)
})

test('never lifts a score, and the newer or the better of two never has less, whatever the sign', () => {
  const score = fc.double({ min: -1, max: 1, noNaN: true })
  const age = fc.nat(10_000 * day)
  const how = fc.record({
    halfLife: fc.integer({ min: 1, max: 1_000 * day }),
    weight: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  fc.assert(
    fc.property(score, score, age, age, how, (one, other, youth, age, how) => {
      const now = 20_000 * day
      const [low, high] = one < other ? [one, other] : [other, one]
      const [young, old] = youth < age ? [youth, age] : [age, youth]
      expect(faded(high, now - old, now, how)).toBeLessThanOrEqual(high)
      expect(faded(high, now - young, now, how)).toBeGreaterThanOrEqual(faded(high, now - old, now, how))
      // Rounding may tell apart what is the same.
      expect(faded(high, now - young, now, how) - faded(low, now - old, now, how)).toBeGreaterThanOrEqual(-1e-15)
    }),
  )
})
