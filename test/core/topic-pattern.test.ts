import { expect, test } from 'vitest'
import { isTopicPattern, matchesTopic } from '../../src/core/topic-pattern.ts'

test.each([
  ['orders', 'orders', true],
  ['orders', 'orders.eu', false],
  ['orders.*', 'orders.eu', true],
  ['orders.*', 'ordersXeu', false],
  ['*.eu', 'orders.eu', true],
  ['*', 'anything-at_all', true],
  ['*', '__consumer_offsets', false],
  ['*', 'millrace.state', false],
  ['orders.*', 'orders.dlq', false],
  ['*', 'reader.in', false],
  ['orders.dlq', 'orders.dlq', true],
])('%s stands for %s: %s', (asked, topic, matches) => {
  expect(matchesTopic(['other', asked], topic)).toBe(matches)
})

test('a name is a pattern when it has a star', () => {
  expect(['a.b', 'a.*'].map(isTopicPattern)).toEqual([false, true])
})
