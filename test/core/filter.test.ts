import { describe, expect, test } from 'vitest'
import { InvalidInput } from '../../src/core/errors.ts'
import { assertKnownFields, filterCondition, filterSchema, matchesFilter } from '../../src/core/filter.ts'

describe('filters are checked', () => {
  const wrong: readonly (readonly [unknown, string])[] = [
    ['category', 'filter: must be an object such as {"category": "billing"}, not a string'],
    [{ category: { $eqq: 1 } }, 'filter.category.$eqq: unknown operator "$eqq", did you mean "$eq"?'],
    [{ $adn: [] }, 'filter.$adn: unknown operator "$adn", did you mean "$and"?'],
    [{ $not: [] }, 'filter.$not: unknown operator "$not"'],
    [{ $gt: 5 }, 'filter.$gt: is a comparison and stands inside a field: {"category": {"$gt": …}}'],
    [{ $or: { a: 1 } }, 'filter.$or: takes an array of filters, not a object'],
    [{ $and: [{ a: 1 }, 7] }, 'filter.$and.1: must be an object'],
    [{ a: null }, 'filter.a: must be a value or a comparison such as {"$eq": "billing"}, not null'],
    [{ a: [1] }, 'filter.a: must be a value or a comparison such as {"$eq": "billing"}, not an array'],
    [{ a: {} }, 'filter.a: needs an operator: $eq'],
    [{ a: { $eq: null } }, 'filter.a.$eq: takes a text, a number, true or false, not null'],
    [{ a: { $gt: true } }, 'filter.a.$gt: takes a number or a text, not a boolean'],
    [{ a: { $in: 'x' } }, 'filter.a.$in: takes an array'],
    [{ a: { $nin: [null] } }, 'filter.a.$nin: takes an array'],
    [{ a: { $exists: 1 } }, 'filter.a.$exists: takes true or false, not a number'],
    [{ a: { $in: Array.from({ length: 10_001 }, () => 1) } }, 'above 10000 values'],
    [{ $or: Array.from({ length: 1_001 }, () => ({ a: 1 })) }, 'above 1000 comparisons'],
    [nested(17), 'is nested more than 16 levels deep'],
  ]
  test.each(wrong)('%j', (filter, message) => {
    expect(() => filterCondition(filter)).toThrow(InvalidInput)
    expect(() => filterCondition(filter)).toThrow(message)
    expect(filterSchema.safeParse(filter).success).toBe(false)
  })

  test('every problem is named, with its place', () => {
    const parsed = filterSchema.safeParse({ a: { $eqq: 1 }, $and: [{ b: { $lt: true } }] })
    expect(parsed.error?.issues.map(({ path }) => path.join('.'))).toEqual(['a.$eqq', '$and.0.b.$lt'])
    expect(() => filterCondition({ a: { $eqq: 1 }, b: null })).toThrow(/filter\.a\.\$eqq: .*; filter\.b: /)
  })

  test('what the schema parsed means the same', () => {
    const filter = { a: { $gte: 1, $lt: 3 }, $or: [{ b: 'x' }, { b: { $in: ['y', 'z'] } }, {}], c: { $exists: true } }
    expect(filterCondition(filterSchema.parse(filter))).toEqual(filterCondition(filter))
    expect(filterCondition(filterSchema.parse(nested(16)))).toEqual(filterCondition(nested(16)))
  })
})

describe('matchesFilter', () => {
  test('a field named like something inherited is missing', () => {
    expect(matchesFilter({ constructor: { $exists: true } }, {})).toBe(false)
    expect(matchesFilter({ toString: { $ne: 'x' } }, {})).toBe(true)
    expect(matchesFilter({ ['__proto__']: 'x' }, {})).toBe(false)
  })

  test('texts are ordered by code point', () => {
    expect(matchesFilter({ a: { $gt: '\uffee' } }, { a: '\u{10000}' })).toBe(true)
    expect(matchesFilter({ a: { $gt: 'x\u{1f600}' } }, { a: 'x\u{1f601}' })).toBe(true)
    expect(matchesFilter({ a: { $lt: 'ab' } }, { a: 'a' })).toBe(true)
    expect(matchesFilter({ a: { $lte: 'a' } }, { a: 'a' })).toBe(true)
  })

  test('values of different types are neither equal nor ordered', () => {
    expect(matchesFilter({ a: 1 }, { a: true })).toBe(false)
    expect(matchesFilter({ a: { $gte: '1' } }, { a: 1 })).toBe(false)
    expect(matchesFilter({ a: { $lt: 5 } }, { a: null })).toBe(false)
    expect(matchesFilter({ a: { $nin: ['1'] } }, { a: 1 })).toBe(true)
  })
})

test('an unknown field is named with the nearest one', () => {
  const condition = filterCondition({ $or: [{ subject: 'x' }, { categry: 'y' }] })
  expect(() => assertKnownFields(condition, 'tickets', ['category', 'subject'])).toThrow(
    'The filter names the field "categry", which collection "tickets" does not have, did you mean "category"?',
  )
  expect(() => assertKnownFields(condition, 'tickets', ['categry', 'subject'])).not.toThrow()
})

function nested(levels: number): Record<string, unknown> {
  return levels === 0 ? { a: 1 } : { $and: [nested(levels - 1), { b: 2 }] }
}
