import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Json } from '../../src/core/event.ts'
import type { StateReader } from '../../src/core/state.ts'
import { LaneStates } from '../../src/engine/lane-state.ts'
import { dedupe } from '../../src/processors/dedupe.ts'
import { CommittedState, event, events, process, summary } from './support.ts'

describe('without a window', () => {
  it('keeps the first of each, within a batch and across batches', async () => {
    const state = new CommittedState()
    const options = { by: 'value.id' }
    const first = await process(dedupe, options, events({ id: 1 }, { id: 2 }, { id: 1 }, { id: '1' }), state)
    expect(summary(first)).toEqual([{ id: 1 }, { id: 2 }, null, { id: '1' }])
    expect(summary(await process(dedupe, options, events({ id: 2 }, { id: 3 }), state))).toEqual([null, { id: 3 }])
  })

  it('goes by the key by default, and lets events without one pass', async () => {
    const batch = [event(1, { key: 'a' }), event(2, { key: 'a' }), event(3), event(4)]
    expect(summary(await process(dedupe, {}, batch))).toEqual([1, null, 3, 4])
  })

  it('fails the event that the expression does not fit, and no other', async () => {
    expect(summary(await process(dedupe, { by: 'value.id' }, events({ id: 1 }, {}, { id: 1 })))).toEqual([
      { id: 1 },
      'expression_failed',
      null,
    ])
  })

  it('keeps its state keys short', async () => {
    const state = new CommittedState()
    const long = 'x'.repeat(5000)
    await process(dedupe, { by: 'value' }, events(long, [long], `${long}y`), state)
    expect(Math.max(...[...state.entries.keys()].map((key) => key.length))).toBeLessThan(80)
    expect(state.entries.size).toBe(3)
  })
})

interface Arrival {
  readonly name: string
  readonly time: number
}

function batchOf(arrivals: readonly Arrival[], from: number) {
  return arrivals.map(({ name, time }, index) =>
    event(name, { timestamp: time, position: { topic: 't', partition: 0, offset: from + index } }),
  )
}

const options = { by: 'value', window: '1s' }

/** Which arrivals pass when they are handed over in batches of these sizes. */
async function passed(arrivals: readonly Arrival[], sizes: readonly number[], state = new CommittedState()) {
  const results: unknown[] = []
  for (let from = 0, turn = 0; from < arrivals.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1
    results.push(...summary(await process(dedupe, options, batchOf(arrivals.slice(from, from + size), from), state)))
    from += size
  }
  return results
}

describe('within a window', () => {
  const arrival = fc.record({ name: fc.constantFrom('a', 'b', 'c', 'd'), time: fc.nat({ max: 6000 }) })
  const sizes = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 5 })

  it('drops what comes within the window after the one that passed, for events in order of time', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(arrival, { maxLength: 40 }), sizes, async (unordered, split) => {
        const arrivals = unordered.toSorted((a, b) => a.time - b.time)
        const last = new Map<string, number>()
        const expected = arrivals.map(({ name, time }) => {
          if (time - (last.get(name) ?? Number.NEGATIVE_INFINITY) < 1000) return null
          last.set(name, time)
          return name
        })
        expect(await passed(arrivals, split)).toEqual(expected)
      }),
    )
  })

  it('decides the same in whatever batches, for events in any order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(arrival, { maxLength: 40 }), sizes, async (arrivals, split) => {
        expect(await passed(arrivals, split)).toEqual(await passed(arrivals, [1]))
      }),
    )
  })

  it('decides the same after a replay from any committed offset', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(arrival, { minLength: 1, maxLength: 40 }),
        fc.nat(),
        sizes,
        async (arrivals, at, split) => {
          const expected = await passed(arrivals, [1])
          const commit = at % arrivals.length
          const committed = new Map<string, Json>()
          const reader: StateReader = {
            get: (keys) => Promise.resolve(keys.map((key) => committed.get(key))),
            async *scan() {},
          }
          const before = new LaneStates(reader)
          await process(dedupe, options, batchOf(arrivals, 0), before.scope('dedupe'))
          for (const { key, value } of before.below(commit)) {
            if (value === undefined) committed.delete(key)
            else committed.set(key, value)
          }
          const after = new LaneStates(reader).scope('dedupe')
          const results: unknown[] = []
          for (let from = commit, turn = 0; from < arrivals.length; turn++) {
            const size = split[turn % split.length] ?? 1
            results.push(
              ...summary(await process(dedupe, options, batchOf(arrivals.slice(from, from + size), from), after)),
            )
            from += size
          }
          expect(results).toEqual(expected.slice(commit))
        },
      ),
    )
  })

  it('forgets: the state stays as large as what a window holds, odd timestamps or not', async () => {
    const state = new CommittedState()
    const arrivals = Array.from({ length: 5000 }, (_, n) => ({
      name: `${n}`,
      time: n % 500 === 7 ? 4_000_000_000_000 : n * 10,
    }))
    await passed(arrivals, [100], state)
    expect(state.entries.size).toBeLessThan(3 * 100)
  })
})

it('knows its options', () => {
  expect(dedupe.references({ by: 'value.id' })).toMatchObject([{ path: ['by'], text: 'value.id', returns: 'any' }])
  expect(dedupe.references({})).toMatchObject([{ path: ['by'], text: 'key', returns: 'any' }])
  expect(dedupe.references({ vector: 'v' })).toEqual([{ kind: 'vector', path: ['vector'], name: 'v' }])
  expect(dedupe.options.safeParse({ window: '10 minutes' }).success).toBe(false)
  expect(dedupe.main).toBe('by')
  const shape = { fields: new Set(['a']), vectors: new Set(['v']) }
  expect(dedupe.shape({ by: 'key' }, shape)).toEqual(shape)
  const counted = { fields: new Set(['a', 'more']), vectors: new Set(['v']) }
  expect(dedupe.shape({ vector: 'v', countAs: 'more' }, shape)).toEqual(counted)
})

it('tells that what goes out again has the vector alone that is compared', () => {
  const shape = { fields: undefined, vectors: new Set(['v', 'w']) }
  expect(dedupe.shape({ vector: 'v', countAs: 'more' }, shape).vectors).toEqual(new Set(['v']))
  expect(dedupe.shape({ text: 'value.t', countAs: 'more' }, shape).vectors).toEqual(new Set())
  expect(dedupe.shape({ vector: 'v' }, shape).vectors).toEqual(new Set(['v', 'w']))
})

it.each([
  [{ by: 'key', vector: 'v' }, 'either "by" or "vector"'],
  [{ by: 'key', text: 'value.t' }, 'either "by" or "text"'],
  [{ vector: 'v', text: 'value.t' }, 'either "vector" or "text"'],
  [{ minScore: 0.9 }, '"minScore" says nothing without'],
  [{ by: 'key', last: 5 }, '"last" says nothing without'],
  [{ countAs: 'more' }, '"countAs" says nothing without'],
])('refuses %o', (options, message) => {
  const { error } = dedupe.options.safeParse(options)
  expect(error?.issues.map((issue) => issue.message)).toEqual([expect.stringContaining(message)])
})
