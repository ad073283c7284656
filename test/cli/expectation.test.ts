import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { differences } from '../../src/cli/expectation.ts'

describe('an ordered output', () => {
  test('matches by the fields that are expected', () => {
    expect(differences([{ value: { a: 1 } }], [{ key: null, value: { a: 1, b: 2 } }], true)).toEqual([])
  })

  test.each([
    ['another value', [{ a: 1 }], [{ a: 2 }], '[0].a', 'expected 1, got 2'],
    ['a missing field', [{ a: { b: 1 } }], [{ a: { c: 1 } }], '[0].a.b', 'expected 1, there is no such field (c)'],
    ['a missing item', [{ a: 1 }], [], '[0]', 'expected {"a":1}, got nothing'],
    ['an item too many', [], [{ a: 1 }], '[0]', 'expected nothing more, got {"a":1}'],
    ['another type', [{ a: '1' }], [{ a: 1 }], '[0].a', 'expected "1", got 1'],
    ['null is not nothing', [{ a: null }], [{ a: 0 }], '[0].a', 'expected null, got 0'],
    ['lists of other length', [{ a: [1] }], [{ a: [1, 2] }], '[0].a', 'expected [1], got [1,2]'],
    ['an item of a list', [{ a: [1, 2] }], [{ a: [1, 3] }], '[0].a[1]', 'expected 2, got 3'],
  ])('says where: %s', (_name, expected, actual, path, message) => {
    expect(differences(expected, actual, true)).toEqual([{ path, message }])
  })

  test('matters in its order', () => {
    expect(differences([{ a: 1 }, { a: 2 }], [{ a: 2 }, { a: 1 }], true)).toHaveLength(2)
  })
})

describe('an output without order', () => {
  test('a vague expectation leaves the only fitting item to a precise one', () => {
    expect(differences([{}, { a: 1 }], [{ a: 1 }, { a: 2 }], false)).toEqual([])
  })

  test('compares what is missing with what is left over', () => {
    const found = differences([{ a: 1 }, { a: 2 }], [{ a: 3 }, { a: 1 }], false)
    expect(found).toEqual([{ path: '[1].a', message: 'expected 2, got 3' }])
  })

  test('any order of the same items is as expected, and one item more or less is not', () => {
    const items = fc.array(fc.record({ a: fc.nat(3), b: fc.nat(3) }), { maxLength: 6 })
    const shuffled = items.chain((list) =>
      fc.tuple(fc.constant(list), fc.shuffledSubarray(list, { minLength: list.length, maxLength: list.length })),
    )
    fc.assert(
      fc.property(shuffled, ([expected, actual]) => {
        expect(differences(expected, actual, false)).toEqual([])
        expect(differences(expected, [...actual, { a: 9, b: 9 }], false)).toHaveLength(1)
        if (actual.length > 0) expect(differences(expected, actual.slice(1), false)).toHaveLength(1)
      }),
    )
  })
})
