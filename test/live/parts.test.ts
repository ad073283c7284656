import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ChannelEvent, Matched } from '../../src/live/channel-event.ts'
import { GroupBatch } from '../../src/live/group-batch.ts'
import { Outbox } from '../../src/live/outbox.ts'
import { closeCodes, shouldReconnect } from '../../src/live/protocol.ts'
import { RateLimit } from '../../src/live/rate-limit.ts'

function event(offset: number, key: string | null, value: number | null = 1, id = `e${offset}`): Matched {
  return new Matched(new ChannelEvent('c', { offset, id, key, value, timestamp: 1, appended: 1 }), undefined)
}

test('an event says its version where its id can come again', () => {
  const plain = { offset: 3, id: 'i', key: null, value: 1, timestamp: 2, appended: 9 }
  expect(JSON.parse(new ChannelEvent('c', plain).json)).toEqual({ offset: 3, id: 'i', time: 2, key: null, value: 1 })
  const versioned = new Matched(new ChannelEvent('c', { ...plain, version: 7 }), 0.5)
  expect(JSON.parse(versioned.json)).toMatchObject({ offset: 3, version: 7, score: 0.5 })
})

function batch(matched: Matched[]): GroupBatch {
  const [from, next] = [matched[0]?.offset ?? 0, (matched.at(-1)?.offset ?? 0) + 1]
  return new GroupBatch({ epoch: 'e', from, next, lost: undefined }, { matched, comparable: true })
}

describe('outbox', () => {
  const keyOf = ({ source }: Matched) => source.event.key

  test('whatever is done to it, each event is taken once and in order, or is within a gap', () => {
    const step = fc.constantFrom('conflate', 'sample', 'newest', 'take', 'batch', 'push', 'pushBatch')
    fc.assert(
      fc.property(fc.array(fc.tuple(step, fc.integer({ min: 1, max: 9 }))), (steps) => {
        const outbox = new Outbox()
        const taken: number[] = []
        const gaps: { from: number; to: number; count: number | undefined }[] = []
        let next = 0
        const some = (size: number) =>
          Array.from({ length: size }, () => event(next++, next % 4 ? `k${next % 3}` : null))
        for (const [action, size] of steps) {
          if (action === 'conflate') outbox.conflate(keyOf)
          else if (action === 'sample') outbox.sample()
          else if (action === 'newest') outbox.keepNewest(size)
          else if (action === 'take') taken.push(...outbox.take(size, 1_000_000).map(({ offset }) => offset))
          else if (action === 'batch')
            taken.push(...(outbox.takeBatch(size, 1_000_000)?.matched ?? []).map(({ offset }) => offset))
          else if (action === 'push') outbox.push(some(size))
          else outbox.pushBatch(batch(some(size)))
        }
        taken.push(...outbox.take(1_000_000, 1_000_000_000).map(({ offset }) => offset))
        gaps.push(...outbox.takeGaps())
        expect(taken).toEqual([...new Set(taken)].sort((one, other) => one - other))
        expect(taken.length + gaps.reduce((sum, { count }) => sum + (count ?? 0), 0)).toBe(next)
        for (let offset = 0; offset < next; offset++) {
          expect(offset <= outbox.lostTo || !gaps.some(({ from, to }) => from <= offset && offset <= to)).toBe(true)
          expect(taken.includes(offset) || gaps.some(({ from, to }) => from <= offset && offset <= to)).toBe(true)
        }
        expect(outbox).toMatchObject({ length: 0, bytes: 0, empty: true })
      }),
    )
  })

  test('the latest of each key stays; events without one stay; a retraction only replaces its own event', () => {
    const outbox = new Outbox()
    outbox.push([
      event(0, 'a'),
      event(1, null),
      event(2, 'a'),
      event(3, 'b', 1, 'x'),
      event(4, 'b'),
      event(5, 'b', null, 'x'),
    ])
    expect(outbox.conflate(keyOf)).toBe(2)
    expect(outbox.take(9, 9_999).map(({ offset }) => offset)).toEqual([1, 2, 4, 5])
    expect(outbox.takeGaps()).toEqual([{ reason: 'conflated', from: 0, to: 3, count: 2 }])
  })

  test('batches stay whole, and are one for all for whom the same waits', () => {
    const large = batch([event(4, 'x'.repeat(20_000))])
    const waiting = [batch([event(0, 'a'), event(1, 'b')]), batch([event(2, 'a')]), large, batch([event(5, 'a')])]
    const [one, other] = [new Outbox(), new Outbox()]
    for (const outbox of [one, other]) for (const each of waiting) outbox.pushBatch(each)
    expect(one.takeBatch(1, 1_000)).toBeUndefined()
    const joined = one.takeBatch(9, 1_000)
    expect(joined?.matched.map(({ offset }) => offset)).toEqual([0, 1, 2])
    expect(other.takeBatch(9, 1_000)).toBe(joined)
    expect(one.takeBatch(9, 1_000)).toBe(large)
    expect(one.takeBatch(9, 1_000)).toBe(waiting[3])
    expect(one).toMatchObject({ length: 0, bytes: 0, empty: true })
    expect(other.takeBatch(1, 1_000)).toBe(large)
  })

  test('of batches every other one is dropped whole; of one, every other event', () => {
    const outbox = new Outbox()
    const batches = [0, 2, 4].map((offset) => batch([event(offset, null), event(offset + 1, null)]))
    for (const each of batches) outbox.pushBatch(each)
    expect(outbox.sample()).toBe(2)
    expect(outbox.takeGaps()).toEqual([{ reason: 'sampled', from: 2, to: 3, count: 2 }])
    expect(outbox.sample()).toBe(2)
    expect(outbox.sample()).toBe(1)
    expect(outbox.take(9, 9_999).map(({ offset }) => offset)).toEqual([5])
    expect(outbox.takeGaps()).toEqual([{ reason: 'sampled', from: 0, to: 4, count: 3 }])
    expect(outbox.sample()).toBe(0)
  })

  test('one event goes however large it is', () => {
    const outbox = new Outbox()
    outbox.push([event(0, null), event(1, null)])
    expect(outbox.take(10, 1)).toHaveLength(1)
  })
})

test('a rate limit lets a second go at once, and then its rate', () => {
  let now = 0
  const limit = new RateLimit(10, () => now)
  expect(limit.allowance).toBe(10)
  limit.take(10)
  expect(limit.allowance).toBe(0)
  expect(limit.readyIn).toBeCloseTo(100)
  now += 250
  expect(limit.allowance).toBe(2)
  now += 60_000
  expect(limit.allowance).toBe(10)
})

test('close codes say whether to come back', () => {
  const terminal = Object.entries(closeCodes).filter(([, code]) => !shouldReconnect(code))
  expect(terminal.map(([name]) => name)).toEqual(['badFrames', 'unauthenticated'])
  for (const code of [1006, 1011, 1012]) expect(shouldReconnect(code)).toBe(true)
  for (const code of [1002, 1008, 1009]) expect(shouldReconnect(code)).toBe(false)
})
