import { expect, test } from 'vitest'
import { paramValue } from '../../../src/dashboard/queries/param-value.ts'

test.each([
  ['UInt32', '24', 24],
  ['Int8', '-3', -3],
  ['Float64', '0.5', 0.5],
  ['Nullable(UInt16)', '7', 7],
  ['Bool', 'true', true],
  ['Array(UInt8)', '[1, 2]', [1, 2]],
  ['Map(String, String)', '{"a": "b"}', { a: 'b' }],
  ['String', '24', '24'],
  // More digits than a number of JavaScript has.
  ['UInt64', '18446744073709551615', '18446744073709551615'],
  ['DateTime', '2026-01-01 00:00:00', '2026-01-01 00:00:00'],
])('%s: %s', (type, text, value) => {
  expect(paramValue(type, text)).toEqual(value)
})

test.each([
  ['UInt32', 'many'],
  ['Bool', 'perhaps'],
  ['Array(UInt8)', '[1'],
])('what is no %s stays as it is, for the server to say so', (type, text) => {
  expect(paramValue(type, text)).toBe(text)
})
