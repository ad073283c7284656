import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { dot, type Nearest, VectorMatrix } from '../../src/similarity/vector-matrix.ts'

/** Vectors that are the same in every run; entries have so few digits that no kernel rounds their products. */
function randomVectors(count: number, dimension: number, seed = 1): Float32Array[] {
  let state = seed
  return Array.from({ length: count }, () =>
    Float32Array.from({ length: dimension }, () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
      return ((state >>> 24) - 128) / 64
    }),
  )
}

function matrixOf(vectors: readonly Float32Array[], dimension: number): VectorMatrix {
  const matrix = new VectorMatrix(dimension)
  for (const vector of vectors) matrix.add(vector)
  return matrix
}

/** What `nearest` has to answer, by its words. */
function nearestOf(vector: Float32Array, rows: ReadonlyMap<number, Float32Array>): Nearest | undefined {
  const scored = [...rows].map(([row, held]) => ({ row, score: dot(held, vector) }))
  return scored.sort((one, other) => other.score - one.score || one.row - other.row)[0]
}

describe('as a set of rows', () => {
  it('holds what was added, set and removed, whatever the order', async () => {
    const vector = fc.tuple(fc.integer({ min: -9, max: 9 }), fc.integer({ min: -9, max: 9 }))
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.record({ kind: fc.constant('add' as const), vector }) },
      fc.record({ kind: fc.constant('set' as const), vector, at: fc.nat() }),
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('remove' as const), at: fc.nat() }) },
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 120 }), fc.array(vector, { maxLength: 5 }), async (steps, asked) => {
        const matrix = new VectorMatrix(2)
        const model = new Map<number, Float32Array>()
        for (const each of steps) {
          const known = [...model.keys()]
          if (each.kind === 'add') {
            const row = matrix.add(Float32Array.from(each.vector))
            expect(model.has(row)).toBe(false)
            model.set(row, Float32Array.from(each.vector))
            continue
          }
          const row = known[each.at % known.length]
          if (row === undefined) continue
          if (each.kind === 'set') {
            matrix.set(row, Float32Array.from(each.vector))
            model.set(row, Float32Array.from(each.vector))
          } else {
            matrix.remove(row)
            matrix.remove(row)
            model.delete(row)
          }
        }
        expect(matrix.size).toBe(model.size)
        expect(matrix.height).toBe(Math.max(-1, ...model.keys()) + 1)
        for (const [row, held] of model) expect(matrix.at(row)).toEqual(held)
        const vectors = asked.map((entries) => Float32Array.from(entries))
        const scores = await matrix.scores(vectors)
        const byRow = await matrix.scoresByRow(vectors)
        vectors.forEach((each, index) => {
          const expected = Array.from({ length: matrix.height }, (_, row) =>
            dot(model.get(row) ?? new Float32Array(2), each),
          )
          expect([...(scores[index] ?? [])].map((score) => score + 0)).toEqual(expected.map((score) => score + 0))
          const column = expected.map((_, row) => byRow[row * vectors.length + index] ?? Number.NaN)
          expect(column.map((score) => score + 0)).toEqual(expected.map((score) => score + 0))
        })
        expect(plain(await matrix.nearest(vectors))).toEqual(plain(vectors.map((each) => nearestOf(each, model))))
      }),
    )
  })

  it('takes memory for what it holds, and gives back what it no longer needs', () => {
    const vectors = randomVectors(1_000, 8)
    const matrix = matrixOf(vectors, 8)
    const rowBytes = 8 * 4 + 1
    expect(matrix.bytes).toBeLessThanOrEqual(2 * 1_000 * rowBytes)
    for (let row = 10; row < 1_000; row++) matrix.remove(row)
    expect(matrix.bytes).toBeLessThanOrEqual(4 * 16 * rowBytes)
    expect(matrix.at(9)).toEqual(vectors[9])
    for (let row = 0; row < 10; row++) matrix.remove(row)
    expect(matrix).toMatchObject({ size: 0, height: 0 })
    expect(matrix.add(Float32Array.of(1, 0, 0, 0, 0, 0, 0, 0))).toBe(0)
  })

  it('uses the first free row again, so that the end can become free', () => {
    const matrix = matrixOf(randomVectors(100, 4), 4)
    for (const row of [70, 3, 99]) matrix.remove(row)
    expect(matrix.height).toBe(99)
    const [vector = new Float32Array(4)] = randomVectors(1, 4)
    expect([matrix.add(vector), matrix.add(vector), matrix.add(vector)]).toEqual([3, 70, 99])
  })

  it('refuses a vector of another dimension', async () => {
    const matrix = new VectorMatrix(3)
    expect(() => matrix.add(new Float32Array(2))).toThrow('dimension 3')
    expect(matrix.size).toBe(0)
    await expect(matrix.nearest([new Float32Array(4)])).rejects.toThrow('a vector of 4 numbers')
  })
})

function plain(all: readonly (Nearest | undefined)[]) {
  return all.map((nearest) => nearest && { row: nearest.row, score: nearest.score + 0 })
}

describe.each([
  ['small', 40, 3],
  ['large: several calls of the native kernel, more vectors than go together', 1_500, 300],
])('compared: %s', (_name, height, width) => {
  const dimension = 96

  it('finds the nearest rows, the first of equal ones, never one that is gone', async () => {
    const rows = randomVectors(height, dimension)
    const matrix = matrixOf([...rows, ...rows], dimension)
    const model = new Map([...rows, ...rows].map((vector, row) => [row, vector]))
    for (let row = 0; row < height; row += 7) {
      matrix.remove(row)
      model.delete(row)
    }
    const asked = [...rows.slice(0, 20), ...randomVectors(width, dimension, 5)].slice(0, width)
    expect(await matrix.nearest(asked)).toEqual(asked.map((vector) => nearestOf(vector, model)))
  })

  it('answers a removed row with 0, however near it was, and takes it for no answer', async () => {
    const rows = randomVectors(height, dimension)
    const matrix = matrixOf(rows, dimension)
    const [first = new Float32Array(dimension)] = rows
    for (let row = 0; row < height; row++) if (row !== 5) matrix.remove(row)
    matrix.set(
      5,
      first.map((value) => -value),
    )
    const many = Array.from({ length: width }, () => first)
    expect((await matrix.nearest(many)).every((nearest) => nearest?.row === 5)).toBe(true)
    expect((await matrix.scores(many)).every((scores) => scores[0] === 0)).toBe(true)
    matrix.remove(5)
    expect(await matrix.nearest([first])).toEqual([undefined])
  })

  it('is not harmed by vectors without a direction', async () => {
    const rows = randomVectors(height, dimension)
    const matrix = matrixOf(rows, dimension)
    const [first = new Float32Array(dimension)] = rows
    const zero = new Float32Array(dimension)
    const broken = first.map((value, index) => (index === 3 ? Number.NaN : value))
    const asked = Array.from({ length: width }, (_, index) => [first, zero, broken][index % 3] ?? zero)
    const nearest = await matrix.nearest(asked)
    expect(nearest.slice(0, 3)).toEqual([nearestOf(first, new Map(rows.entries())), { row: 0, score: 0 }, undefined])
    matrix.set(1, broken)
    expect((await matrix.nearest(asked)).slice(0, 2)).toEqual(nearest.slice(0, 2))
  })
})

describe.each([
  ['one call after the other', 200],
  ['more vectors than go together', 600],
])('changed while it compares: %s', (_name, width) => {
  const dimension = 384
  const rows = randomVectors(2_000, dimension)
  const asked = rows.slice(0, width)
  const begun = () => new Promise((resolve) => setImmediate(resolve))

  it('answers for the rows that stay when others go', async () => {
    const matrix = matrixOf(rows, dimension)
    const found = Promise.all([matrix.nearest(asked), matrix.scores(asked), matrix.scoresByRow(asked)])
    await begun()
    for (let row = width; row < 2_000; row++) matrix.remove(row)
    const [nearest, scores, byRow] = await found
    expect(nearest.map((each) => each?.row)).toEqual(asked.map((_, row) => row))
    expect(scores.every((each, row) => each.length === 2_000 && each[row] === nearest[row]?.score)).toBe(true)
    expect(byRow.length).toBe(2_000 * width)
  })

  it('answers for the rows that were there when others come', async () => {
    const matrix = matrixOf(rows, dimension)
    const found = Promise.all([matrix.nearest(asked), matrix.scores(asked), matrix.scoresByRow(asked)])
    await begun()
    for (const vector of randomVectors(3_000, dimension, 9)) matrix.add(vector.map((value) => value / 100))
    const [nearest, scores, byRow] = await found
    expect(nearest.map((each) => each?.row)).toEqual(asked.map((_, row) => row))
    expect(scores.every((each) => each.length === 2_000)).toBe(true)
    expect(byRow.length).toBe(2_000 * width)
  })
})
