import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { preciseInstantReading } from '../../../src/core/clickhouse/instants.ts'
import { readOnlyQuery } from '../../../src/core/clickhouse/read-only.ts'
import { quoteName, quoteString, singleExpression, tokenize } from '../../../src/core/clickhouse/sql.ts'
import { parseType } from '../../../src/core/clickhouse/types.ts'

describe('SQL', () => {
  const hostile = fc.string({
    unit: fc.constantFrom("'", '"', '`', '\\', ';', '-', '/', '*', '$', '‘', '\n', '(', 'a'),
  })

  test('whatever is quoted is one token', () => {
    fc.assert(
      fc.property(fc.oneof(hostile, fc.string({ unit: 'binary' })), (text) => {
        expect(tokenize(quoteString(text)).map(({ kind }) => kind)).toEqual(['string'])
        expect(tokenize(quoteName(text)).map(({ kind }) => kind)).toEqual(['quoted'])
      }),
    )
  })

  test('a query that is let through has no second statement and no open quote', () => {
    fc.assert(
      fc.property(hostile, (text) => {
        const sql = `SELECT ${text}`
        try {
          readOnlyQuery(sql)
        } catch {
          return
        }
        const bare = sql
          .replace(
            /--[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^'\\]|\\[\s\S]|'')*'|`(?:[^`\\]|\\[\s\S])*`|"(?:[^"\\]|\\[\s\S])*"/g,
            ' ',
          )
          .replace(/[;\s]+$/, '')
        expect(bare).not.toMatch(/[;'"`$‘]/)
      }),
      { numRuns: 2_000 },
    )
  })

  test.each(['a)', '(a', 'a; b', 'a -- b', 'a /* b', "'a"])('no single expression: %s', (text) => {
    expect(() => singleExpression(text, 'ttl')).toThrow()
  })

  test.each(['', 'Int64)', 'Array(Int64', 'Int64; DROP', "Enum8('a)", 'a.b', '1'])('no type: %s', (text) => {
    expect(() => parseType(text)).toThrow()
  })

  test('types are taken apart at their own commas', () => {
    expect(parseType("Map(String, Tuple(a Enum8('x,(' = 1), b Int8))").args).toEqual([
      'String',
      "Tuple(a Enum8('x,(' = 1), b Int8)",
    ])
    expect(parseType('Double Precision')).toEqual({ name: 'Double Precision', args: [] })
  })
})

test('a time is the same as a number and as a text', () => {
  const read = preciseInstantReading(3)
  fc.assert(
    fc.property(fc.integer({ min: -2_208_988_800_000, max: 10_413_791_999_000 }), (ms) => {
      const iso = new Date(ms).toISOString()
      expect(read(ms)).toBe(read(iso))
      expect(read(iso.replace('Z', '+00:00'))).toBe(read(ms))
    }),
  )
})
