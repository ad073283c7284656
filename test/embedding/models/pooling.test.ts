import fc from 'fast-check'
import { expect, it } from 'vitest'
import { type Pooling, pool } from '../../../src/embedding/models/pooling.ts'
import { unit } from './tiny-model.ts'

/** The definitions, column by column. */
const definitions: Readonly<Record<Pooling, (column: readonly number[]) => number>> = {
  mean: (column) => column.reduce((sum, value) => sum + value, 0) / column.length,
  cls: (column) => column[0] ?? Number.NaN,
  last: (column) => column.at(-1) ?? Number.NaN,
  max: (column) => Math.max(...column),
  weightedmean: (column) => {
    const weights = column.map((_, index) => index + 1)
    const sum = column.reduce((total, value, index) => total + value * (index + 1), 0)
    return sum / weights.reduce((total, weight) => total + weight, 0)
  },
}
const names = ['mean', 'cls', 'last', 'max', 'weightedmean'] as const

const number = fc
  .float({ min: -8, max: 8, noNaN: true, noDefaultInfinity: true })
  .map((value) => Math.round(value * 64) / 64)
const cases = fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 6 })).chain(([rows, width]) =>
  fc.record({
    rows: fc.array(fc.array(number, { minLength: width, maxLength: width }), { minLength: rows, maxLength: rows }),
    dimension: fc.integer({ min: 1, max: width }),
  }),
)

it.each(names)('%s pooling is what its definition says, cut to the dimension and of length 1', (pooling) => {
  fc.assert(
    fc.property(cases, ({ rows, dimension }) => {
      const vector = new Float32Array(dimension)
      pool(pooling, Float32Array.from(rows.flat()), rows[0]?.length ?? 0, vector)
      const columns = Array.from({ length: dimension }, (_, column) => rows.map((row) => row[column] ?? Number.NaN))
      const pooled = columns.map(definitions[pooling])
      const expected = pooled.every((value) => Math.abs(value) < 1e-9) ? pooled : unit(pooled)
      for (const [index, value] of vector.entries()) expect(value).toBeCloseTo(expected[index] ?? Number.NaN, 4)
    }),
  )
})
