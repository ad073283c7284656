import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ChannelEvent, Matched } from '../../src/live/channel-event.ts'
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

describe('outbox', () => {
  const keyOf = ({ source }: Matched) => source.event.key

  test('whatever is done to it, each event is taken once and in order, or is within a gap', () => {
    const step = fc.constantFrom('conflate', 'sample', 'newest', 'take', 'push')
    fc.assert(
      fc.property(fc.array(fc.tuple(step, fc.integer({ min: 1, max: 9 }))), (steps) => {
        const outbox = new Outbox()
        const taken: number[] = []
        const gaps: { from: number; to: number; count: number | undefined }[] = []
        let next = 0
        for (const [action, size] of steps) {
          if (action === 'conflate') outbox.conflate(keyOf)
          else if (action === 'sample') outbox.sample()
          else if (action === 'newest') outbox.keepNewest(size)
          else if (action === 'take') taken.push(...outbox.take(size, 1_000_000).map(({ offset }) => offset))
          else outbox.push(Array.from({ length: size }, () => event(next++, next % 4 ? `k${next % 3}` : null)))
        }
        taken.push(...outbox.take(1_000_000, 1_000_000_000).map(({ offset }) => offset))
        gaps.push(...outbox.takeGaps())
        expect(taken).toEqual([...new Set(taken)].sort((one, other) => one - other))
        expect(taken.length + gaps.reduce((sum, { count }) => sum + (count ?? 0), 0)).toBe(next)
        for (let offset = 0; offset < next; offset++) {
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
