import { expect, test } from 'vitest'
import { KnownItems } from '../../src/client/known-items.ts'
import type { JsonValue } from '../../src/live/protocol.ts'

const event = (id: string, version?: number, value: JsonValue = 1) => ({
  offset: 0,
  time: 0,
  key: null,
  id,
  value,
  version,
})
const match = (id: string, offset: number) => ({ id, position: { topic: 't', partition: 0, offset } })

test('an event without a version is news once its id is not in the snapshot', () => {
  const known = new KnownItems([{ id: 'a' }], {})
  expect(known.isNews(event('a'))).toBe(false)
  expect(known.isNews(event('b'))).toBe(true)
})

test('of an id that comes again only what is newer than the item is news', () => {
  const known = new KnownItems([match('a', 5)], {})
  expect([4, 5, 6, 7].map((version) => known.isNews(event('a', version)))).toEqual([false, false, true, true])
})

test('a retraction is news for what is there, unless the item is newer', () => {
  const known = new KnownItems([match('a', 5), match('b', 5)], {})
  expect(known.isNews(event('a', 4, null))).toBe(false)
  expect(known.isNews(event('a', 6, null))).toBe(true)
  expect(known.isNews(event('a', 7, null))).toBe(false)
  expect(known.isNews(event('absent', 7, null))).toBe(false)
  expect(known.isNews(event('new', 8))).toBe(true)
  expect(known.isNews(event('new', 9, null))).toBe(true)
  // What was retracted may come again.
  expect(known.isNews(event('a', 10))).toBe(true)
})

test('rows of a table are matched by functions', () => {
  const known = new KnownItems([{ ticket: 't1', seen: 3 }], { id: ({ ticket }) => ticket, version: ({ seen }) => seen })
  expect(known.isNews(event('t1', 3))).toBe(false)
  expect(known.isNews(event('t1', 4))).toBe(true)
})

test('an item that cannot be matched is a mistake', () => {
  const items: { readonly id: string }[] = JSON.parse('[{"name":"x"}]')
  expect(() => new KnownItems(items, {})).toThrow('no "id"')
})
