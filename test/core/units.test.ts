import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { byteSize, duration, parseByteSize, parseDuration } from '../../src/core/units.ts'

describe('units', () => {
  test.each([
    ['500ms', 500],
    ['1s', 1_000],
    ['1.5s', 1_500],
    ['10m', 600_000],
    ['1h', 3_600_000],
    ['7d', 604_800_000],
    ['7 d', 604_800_000],
    ['7', undefined],
    ['-1s', undefined],
    ['1w', undefined],
    ['s', undefined],
    ['', undefined],
  ])('duration %s', (text, expected) => {
    expect(parseDuration(text)).toBe(expected)
  })

  test.each([
    ['64B', 64],
    ['64KB', 64_000],
    ['8MB', 8_000_000],
    ['8mb', 8_000_000],
    ['1KiB', 1_024],
    ['10 GB', 10_000_000_000],
    ['8M', undefined],
    ['MB', undefined],
  ])('size %s', (text, expected) => {
    expect(parseByteSize(text)).toBe(expected)
  })

  test('as options: text or number, with a default, idempotent, and one plain message', () => {
    const options = z.strictObject({ age: duration().prefault('1s'), size: byteSize().prefault('8MB') })
    const parsed = options.parse({})
    expect(parsed).toEqual({ age: 1_000, size: 8_000_000 })
    expect(options.parse(parsed)).toEqual(parsed)
    const wrong = options.safeParse({ age: 'soon' })
    expect(wrong.error?.issues.map((issue) => issue.message)).toEqual([
      'expected a duration with its unit, such as 500ms, 10s, 5m, 1h or 7d',
    ])
    expect(z.toJSONSchema(options, { io: 'input' })).toMatchObject({ properties: { age: { default: '1s' } } })
  })
})
