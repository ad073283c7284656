import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type PartitionCounts, TopicWatch } from '../../../../connectors/kafka/group/topic-watch.ts'

let there: Map<string, number>
let end: AbortController
let watch: TopicWatch

beforeEach(() => {
  vi.useFakeTimers()
  there = new Map([['a', 1]])
  end = new AbortController()
  watch = new TopicWatch(async (names): Promise<PartitionCounts> => {
    return new Map([...there].filter(([topic]) => names === 'all' || names.includes(topic)))
  }, end.signal)
})
afterEach(() => {
  end.abort()
  vi.useRealTimers()
})

const member = (...topics: string[]) => ({ topics, owned: [], generation: 1 })

test('tells once that a topic has more partitions', async () => {
  const changed = vi.fn()
  expect(await watch.lead([member('a', 'b')], changed)).toEqual(new Map([['a', 1]]))
  await vi.advanceTimersByTimeAsync(10_000)
  expect(changed).not.toHaveBeenCalled()
  there.set('a', 3)
  await vi.advanceTimersByTimeAsync(10_000)
  expect(changed).toHaveBeenCalledTimes(1)
})

test('tells that a topic has appeared which fits a pattern, and of no other', async () => {
  const changed = vi.fn()
  await watch.lead([member('x.*')], changed)
  there.set('y.1', 1)
  await vi.advanceTimersByTimeAsync(10_000)
  expect(changed).not.toHaveBeenCalled()
  there.set('x.1', 1)
  await vi.advanceTimersByTimeAsync(10_000)
  expect(changed).toHaveBeenCalledTimes(1)
})

test('a topic that is missing for a moment is still there; for longer, it is gone', async () => {
  const changed = vi.fn()
  await watch.lead([{ ...member('a'), owned: [{ topic: 'a', partition: 0 }] }], changed)
  there.clear()
  await vi.advanceTimersByTimeAsync(3000)
  expect(changed).not.toHaveBeenCalled()
  await vi.advanceTimersByTimeAsync(10_000)
  expect(changed).toHaveBeenCalledTimes(1)
  expect(await watch.lead([member('a')], changed)).toEqual(new Map())
})

test('what is owned of a topic that cannot be seen at first counts as there', async () => {
  there.clear()
  const counts = await watch.lead([{ ...member('a'), owned: [{ topic: 'a', partition: 4 }] }], () => {})
  expect(counts).toEqual(new Map([['a', 5]]))
})

test('looks no more once someone else leads', async () => {
  const changed = vi.fn()
  await watch.lead([member('a')], changed)
  watch.rest()
  there.set('a', 2)
  await vi.advanceTimersByTimeAsync(10_000)
  expect(changed).not.toHaveBeenCalled()
})
