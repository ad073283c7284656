import fc from 'fast-check'
import { expect } from 'vitest'
import { type Filter, matchesFilter } from '../../src/core/filter.ts'
import type { Match, VectorPoint, VectorQuery } from '../../src/core/vector-store.ts'

export const scalarFields = ['category', 'priority', 'open', 'odd name.with "quotes`']

export function vectorOf(...numbers: number[]): Float32Array {
  return Float32Array.from(numbers)
}

export function pointOf(id: string, vector: readonly number[], fields: VectorPoint['fields'], offset = 0): VectorPoint {
  return {
    id,
    vector: Float32Array.from(vector),
    fields,
    timestamp: 1_700_000_000_000 + offset,
    position: { topic: 'orders', partition: 3, offset },
  }
}

/** Any filter over the fields `category`, `priority` and `open`, types mixed on purpose. */
export function filterOf(): fc.Arbitrary<Filter> {
  const value = fc.constantFrom<string | number | boolean>(
    'x',
    "z'z",
    '',
    '\u{10000}',
    '\uffee',
    0,
    -0,
    0.1,
    3,
    1e21,
    true,
    false,
  )
  const ordered = fc.constantFrom<string | number>('x', '', '\u{10000}', '\uffee', -2, -0, 0.1, 3)
  const one = fc.oneof(
    fc.record({ $eq: value }),
    fc.record({ $ne: value }),
    fc.record({ $gt: ordered }),
    fc.record({ $gte: ordered }),
    fc.record({ $lt: ordered }),
    fc.record({ $lte: ordered }),
    fc.record({ $in: fc.array(value, { maxLength: 4 }) }),
    fc.record({ $nin: fc.array(value, { maxLength: 4 }) }),
    fc.record({ $exists: fc.boolean() }),
  )
  const comparison = fc.oneof(
    { weight: 3, arbitrary: one },
    { weight: 1, arbitrary: fc.tuple(one, one).map(([left, right]) => ({ ...left, ...right })) },
  )
  const field = fc.constantFrom('category', 'priority', 'open')
  const leaf = fc
    .tuple(field, fc.oneof({ weight: 1, arbitrary: value }, { weight: 3, arbitrary: comparison }))
    .map(([name, condition]): Filter => ({ [name]: condition }))
  return fc.letrec<{ filter: Filter }>((tie) => ({
    filter: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      leaf,
      fc.array(tie('filter'), { maxLength: 3 }).map((all): Filter => ({ $and: all })),
      fc.array(tie('filter'), { maxLength: 3 }).map((any): Filter => ({ $or: any })),
    ),
  })).filter
}

/** What a search must answer, given what is stored. Among equal scores any order and any choice is right. */
export function modelSearch(stored: ReadonlyMap<string, VectorPoint>, query: VectorQuery) {
  const fitting = new Map(
    [...stored.values()]
      .filter((point) => query.filter === undefined || matchesFilter(query.filter, point.fields))
      .map((point) => [point.id, { point, score: cosine(point.vector, query.vector) }]),
  )
  const scores = [...fitting.values()].map(({ score }) => score).sort((left, right) => right - left)
  return {
    assertSame(matches: readonly Match[]): void {
      expect(matches.map(({ score }) => score.toFixed(4))).toEqual(
        scores.slice(0, query.k).map((score) => score.toFixed(4)),
      )
      expect(new Set(matches.map(({ id }) => id)).size).toBe(matches.length)
      for (const { id, score, position, fields } of matches) {
        const expected = fitting.get(id)
        expect(expected?.score).toBeCloseTo(score, 4)
        expect(expected?.point.position).toEqual(position)
        for (const [name, value] of Object.entries(expected?.point.fields ?? {})) {
          expect(fields[name] ?? null).toEqual(value === 0 ? 0 : value)
        }
      }
    },
  }
}

function cosine(left: Float32Array, right: Float32Array): number {
  let dot = 0
  let leftSquares = 0
  let rightSquares = 0
  for (const [index, number] of left.entries()) {
    const other = right[index] ?? 0
    dot += number * other
    leftSquares += number * number
    rightSquares += other * other
  }
  return dot / Math.sqrt(leftSquares * rightSquares)
}
