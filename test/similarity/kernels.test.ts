import fc from 'fast-check'
import { beforeAll, expect, it } from 'vitest'
import type { Kernel } from '../../src/similarity/kernel.ts'
import { loops, loopsInTurns } from '../../src/similarity/loops.ts'
import { fastestKernel, openKernel } from '../../src/similarity/native.ts'

let native: Kernel
beforeAll(async () => {
  native = await fastestKernel()
})

async function products(kernel: Kernel, rows: Float32Array, vectors: Float32Array, dimension: number) {
  const out = new Float32Array((rows.length / dimension) * (vectors.length / dimension)).fill(7)
  await kernel.multiply({ rows, vectors, dimension, products: out })
  return out
}

/** Vectors of length 1, one behind the other, at some place of a larger buffer. */
function unitVectors(count: number, dimension: number, seed: number, offset: number): Float32Array {
  let state = seed
  const values = new Float32Array(offset + count * dimension).subarray(offset)
  for (let at = 0; at < values.length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    values[at] = state / 2 ** 31 - 1
  }
  for (let from = 0; from < values.length; from += dimension) {
    const vector = values.subarray(from, from + dimension)
    const length = Math.hypot(...vector) || 1
    vector.forEach((value, at) => {
      vector[at] = value / length
    })
  }
  return values
}

const sides = fc.record({
  height: fc.integer({ min: 1, max: 70 }),
  width: fc.integer({ min: 1, max: 40 }),
  dimension: fc.integer({ min: 1, max: 400 }),
  seed: fc.nat(),
  offset: fc.nat({ max: 5 }),
})

it('the native kernel is there', () => {
  expect(native).not.toBe(loopsInTurns)
})

it('both kernels agree', async () => {
  await fc.assert(
    fc.asyncProperty(sides, async ({ height, width, dimension, seed, offset }) => {
      const rows = unitVectors(height, dimension, seed, offset)
      const vectors = unitVectors(width, dimension, seed + 1, offset)
      const one = await products(loops, rows, vectors, dimension)
      const other = await products(native, rows, vectors, dimension)
      const apart = one.reduce((most, value, at) => Math.max(most, Math.abs(value - (other[at] ?? Number.NaN))), 0)
      expect(apart).toBeLessThan(1e-5)
    }),
  )
})

it.each([
  ['at once', loops],
  ['in turns', loopsInTurns],
])('loops %s compute inner products', async (_name, kernel) => {
  const product = (row: Float32Array, vector: Float32Array) =>
    row.reduce((sum, value, at) => sum + value * (vector[at] ?? 0), 0)
  await fc.assert(
    fc.asyncProperty(sides, async ({ height, width, dimension, seed, offset }) => {
      const rows = unitVectors(height, dimension, seed, offset)
      const vectors = unitVectors(width, dimension, seed + 1, offset)
      const found = await products(kernel, rows, vectors, dimension)
      for (let at = 0; at < found.length; at++) {
        const row = Math.floor(at / width) * dimension
        const vector = (at % width) * dimension
        const expected = product(rows.subarray(row, row + dimension), vectors.subarray(vector, vector + dimension))
        expect(found[at]).toBeCloseTo(expected, 5)
      }
    }),
    { numRuns: 30 },
  )
})

it('without the native library the loops are there', async () => {
  expect(await openKernel(() => Promise.reject(new Error('no such package')))).toBe(loopsInTurns)
})
