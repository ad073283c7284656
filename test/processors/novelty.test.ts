import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Outcome } from '../../src/core/component.ts'
import { type Event, noVectors } from '../../src/core/event.ts'
import { novelty } from '../../src/processors/novelty.ts'
import { dot } from '../../src/similarity/vector-matrix.ts'
import { makeWith, run } from './embedder.ts'
import { atAngle, fakeEmbedder, scoreAt } from './fake-embedder.ts'
import { lives, through } from './lives.ts'
import { CommittedState, event, summary } from './support.ts'

function angles(...degrees: number[]): Event[] {
  return degrees.map((angle, offset) =>
    event({ angle }, { position: { topic: 't', partition: 0, offset }, vectors: { v: atAngle(angle) } }),
  )
}

async function scored(batches: readonly (readonly Event[])[], options = {}, state = new CommittedState()) {
  const processor = await makeWith(fakeEmbedder(2), novelty, { vector: 'v', ...options })
  const outcomes: Outcome[] = []
  for (const batch of batches) outcomes.push(...(await run(processor, batch, state)))
  return outcomes
}

function about(...distances: number[]) {
  return distances.map((distance) => expect.objectContaining({ novelty: expect.closeTo(distance, 5) }))
}

it('is the distance to the nearest of what was seen, in this batch or before', async () => {
  const state = new CommittedState()
  const [third, far] = [1 - scoreAt(30), 1 - scoreAt(60)]
  expect(summary(await scored([angles(0, 0, 60), angles(30)], {}, state))).toEqual(about(1, 0, far, third))
  expect(summary(await scored([angles(0, 180, 240)], {}, state))).toEqual(about(0, 1.5, far))
})

it('is kept in the field that is named, beside the others', async () => {
  expect(summary(await scored([angles(7)], { as: 'odd' }))).toEqual([{ angle: 7, odd: 1 }])
  const shape = { fields: new Set(['a']), vectors: new Set<string>() }
  expect(novelty.shape({ vector: 'v', as: 'odd' }, shape).fields).toEqual(new Set(['a', 'odd']))
  expect(novelty.references({ vector: 'v' })).toEqual([{ kind: 'vector', path: ['vector'], name: 'v' }])
})

it('remembers the last different ones: what comes again and again takes no room from what is rare', async () => {
  const often = Array.from({ length: 50 }, (_, n) => 90 + (n % 5))
  const state = new CommittedState()
  expect(summary(await scored([angles(0, ...often, 0)], { last: 2 }, state)).at(-1)).toEqual(about(0)[0])
  expect(state.entries.size).toBe(3)
  expect(summary(await scored([angles(0, 90, 180, 0)], { last: 2 }))).toEqual(about(1, 1, 1, 1))
})

it('takes what comes again as seen now', async () => {
  const timed = [0, 600, 1200, 1800, 2900].map((time, offset) =>
    event({}, { timestamp: time, position: { topic: 't', partition: 0, offset }, vectors: { v: atAngle(0) } }),
  )
  expect(summary(await scored([timed], { window: '1s' }))).toEqual(about(1, 0, 0, 0, 1))
})

it('fails events that it cannot compare or change, and remembers none of them', async () => {
  const vectors = { v: atAngle(0) }
  const batch = [event({}, { vectors: noVectors }), event('text', { vectors }), event({}, { vectors })]
  expect(summary(await scored([batch]))).toEqual(['vector_missing', 'value_not_object', { novelty: 1 }])
})

it('wants either a vector or a text', () => {
  expect(() => novelty.options.parse({})).toThrow('give either')
})

interface Seen {
  readonly vector: Float32Array
  readonly timestamp: number
}

/** What is to come of it: a list of what was seen, and nothing else. */
function expected(events: readonly Event[], last: number, window: number | undefined): unknown[] {
  let seen: Seen[] = []
  return events.map(({ value, vectors, timestamp }) => {
    const vector = vectors.v ?? new Float32Array(2)
    const apart = (one: Seen) => window !== undefined && Math.abs(one.timestamp - timestamp) >= window
    let nearest: { one: Seen; score: number } | undefined
    for (const one of seen) {
      const score = dot(one.vector, vector)
      if (!apart(one) && score > (nearest?.score ?? -2)) nearest = { one, score }
    }
    if (nearest !== undefined && nearest.score >= 0.99) {
      const { one } = nearest
      seen = [...seen.filter((other) => other !== one), { ...one, timestamp: Math.max(timestamp, one.timestamp) }]
    } else {
      for (let turn = 0; turn < 2; turn++) if (seen[0] && apart(seen[0])) seen.shift()
      while (seen.length >= last) seen.shift()
      seen.push({ vector, timestamp })
    }
    return { ...Object(value), novelty: nearest === undefined ? 1 : Math.max(0, 1 - nearest.score) }
  })
}

describe('through crashes, replays and failures', () => {
  it('is scored as by a list of what was seen, in whatever batches', async () => {
    const arrival = fc.record({ angle: fc.integer({ min: 0, max: 59 }).map((n) => n * 6), time: fc.nat({ max: 3000 }) })
    await fc.assert(
      fc.asyncProperty(
        fc.array(arrival, { maxLength: 40 }),
        fc.constantFrom(1, 2, 5, 100),
        fc.constantFrom(undefined, 800),
        lives,
        async (arrivals, last, window, lives) => {
          const events = arrivals.map(({ angle, time }, offset) => {
            const position = { topic: 't', partition: 0, offset }
            return event({ angle }, { position, timestamp: time, vectors: { v: atAngle(angle) } })
          })
          const values = expected(events, last, window)
          const options = { vector: 'v', last, window }
          const happened = await through(lives, events, () => makeWith(fakeEmbedder(2), novelty, options))
          for (const [index, outcome] of happened) expect(outcome, `${index}`).toMatchObject({ value: values[index] })
        },
      ),
      { numRuns: 300 },
    )
  })
})
