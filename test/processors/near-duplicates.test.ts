import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { defineProcessor, type Outcome } from '../../src/core/component.ts'
import { type Event, type Json, noVectors } from '../../src/core/event.ts'
import { Pipeline } from '../../src/engine/pipeline.ts'
import { dedupe } from '../../src/processors/dedupe.ts'
import { dot } from '../../src/similarity/vector-matrix.ts'
import { limits, sinkOf, specOf, Table, use, World } from '../engine/world.ts'
import { makeWith, run } from './embedder.ts'
import { atAngle, fakeEmbedder, scoreAt } from './fake-embedder.ts'
import { lives, through } from './lives.ts'
import { CommittedState, event, summary } from './support.ts'

const minScore = scoreAt(10.5)

/** Events whose meanings are angles, so that those within 10 degrees are near. */
function angles(...degrees: number[]): Event[] {
  return degrees.map((angle, offset) => at(angle, { position: { topic: 't', partition: 0, offset } }))
}

function at(angle: number, fields: Partial<Event> = {}, value: Json = { angle }): Event {
  return event(value, { vectors: { v: atAngle(angle) }, ...fields })
}

async function deduped(batches: readonly (readonly Event[])[], options = {}, state = new CommittedState()) {
  const processor = await makeWith(fakeEmbedder(2), dedupe, { vector: 'v', minScore, ...options })
  const outcomes: Outcome[] = []
  for (const batch of batches) outcomes.push(...(await run(processor, batch, state)))
  return outcomes
}

describe('near duplicates', () => {
  it('are dropped, within a batch and across batches and restarts', async () => {
    const state = new CommittedState()
    const first = await deduped([angles(0, 90, 5), angles(93, 180)], {}, state)
    expect(summary(first)).toEqual([{ angle: 0 }, { angle: 90 }, null, null, { angle: 180 }])
    expect(summary(await deduped([angles(185, 270)], {}, state))).toEqual([null, { angle: 270 }])
  })

  it('are near an event that passed, and not merely near one that was dropped', async () => {
    expect(summary(await deduped([angles(0, 10, 20, 30)]))).toEqual([{ angle: 0 }, null, { angle: 20 }, null])
  })

  it('cost the state nothing', async () => {
    const state = new CommittedState()
    await deduped([angles(0)], {}, state)
    const before = new Map(state.entries)
    await deduped([angles(5, 3, -2)], {}, state)
    expect(state.entries).toEqual(before)
  })

  it('are those within the window, whichever comes first', async () => {
    const timed = [0, 900, -999, 1000].map((time) => at(0, { timestamp: 1e12 + time }))
    expect(summary(await deduped([timed], { window: '1s' }))).toEqual([{ angle: 0 }, null, null, { angle: 0 }])
  })

  it('are those of the last that passed', async () => {
    const outcomes = await deduped([angles(0, 90, 0, 180, 0)], { last: 2 })
    expect(summary(outcomes)).toEqual([{ angle: 0 }, { angle: 90 }, null, { angle: 180 }, { angle: 0 }])
  })

  it('leave events beside them that have no meaning to their failure', async () => {
    const [first, second] = angles(0, 5)
    const outcomes = await deduped([[first, event('x', { vectors: noVectors }), second].filter((each) => !!each)])
    expect(summary(outcomes)).toEqual([{ angle: 0 }, 'vector_missing', null])
  })
})

describe('counted duplicates', () => {
  const fields = { key: 'k', headers: { h: 'x' }, timestamp: 5 }

  it('send the first out again, under its id, at their own position', async () => {
    const state = new CommittedState()
    const [first, second] = [
      at(0, { ...fields, id: 'a' }),
      at(5, { position: { topic: 't', partition: 0, offset: 7 } }),
    ]
    const options = { countAs: 'more' }
    const [out] = await deduped([[first]], options, state)
    expect(out).toEqual({ ...first, value: { angle: 0, more: 0 } })
    const [again] = await deduped([[second]], options, state)
    expect(again).toEqual({ ...first, value: { angle: 0, more: 1 }, position: second.position })
    expect(summary(await deduped([angles(2, 90, 91)], options, state))).toEqual([
      { angle: 0, more: 2 },
      { angle: 90, more: 0 },
      { angle: 90, more: 1 },
    ])
  })

  it('are dropped without a word where the first is too large to be kept, in whatever batches', async () => {
    const large = at(0, {}, { text: 'é'.repeat(32_000) })
    const split = await deduped([[large], angles(1)], { countAs: 'more' })
    const together = await deduped([[large, ...angles(1)]], { countAs: 'more' })
    expect(summary(split)).toEqual([{ text: expect.any(String), more: 0 }, null])
    expect(summary(together)).toEqual(summary(split))
  })

  it('need a value that takes the field', async () => {
    const outcomes = await deduped([[at(0, {}, 'text'), at(1)]], { countAs: 'more' })
    expect(summary(outcomes)).toEqual(['value_not_object', { angle: 1, more: 0 }])
  })

  it('begin anew for what is remembered anew where they were not counted before', async () => {
    const state = new CommittedState()
    await deduped([angles(0, 0)], { countAs: 'more', last: 1 }, state)
    await deduped([angles(90)], { last: 1 }, state)
    expect(summary(await deduped([angles(90)], { countAs: 'more', last: 1 }, state))).toEqual([null])
    const anew = await deduped([angles(0, 1)], { countAs: 'more', last: 1 }, state)
    expect(summary(anew)).toEqual([
      { angle: 0, more: 0 },
      { angle: 0, more: 1 },
    ])
  })
})

describe('ids that come again', () => {
  it('are new versions, which pass, keep their count, and are compared with from then on', async () => {
    const options = { countAs: 'more' }
    const outcomes = await deduped([[at(0, { id: 'a' }), at(1), at(5, { id: 'a' }), at(12)], angles(-7)], options)
    expect(summary(outcomes)).toEqual([
      { angle: 0, more: 0 },
      { angle: 0, more: 1 },
      { angle: 5, more: 1 },
      { angle: 5, more: 2 },
      { angle: -7, more: 0 },
    ])
  })

  it('are deleted by a tombstone, and what was kept of them with them', async () => {
    const state = new CommittedState()
    const first = at(0, { id: 'a' })
    const gone = event(null, { id: 'a' })
    await deduped([[first, at(1)]], { countAs: 'more' }, state)
    const outcomes = await deduped([[gone], [at(2)], [event(null, { id: 'b' })]], { countAs: 'more' }, state)
    expect(outcomes[0]).toBe(gone)
    expect(summary(outcomes)).toEqual([null, { angle: 2, more: 0 }, null])
    expect([...state.entries.keys()].filter((key) => /^[vck]/.test(key))).toEqual(['v0', 'k0'])
    expect(JSON.stringify([...state.entries])).not.toContain('"a"')
  })
})

const final = { angles: [0], block: { events: 7, ageMs: 1 }, crash: false, afterMs: 0 }

interface Arrival {
  readonly kind: 'event' | 'named' | 'tombstone'
  readonly angle: number
  readonly time: number
  readonly name: string
}

const arrival: fc.Arbitrary<Arrival> = fc.record({
  kind: fc.constantFrom('event', 'event', 'event', 'named', 'tombstone'),
  angle: fc.integer({ min: 0, max: 17 }).map((step) => step * 5),
  time: fc.nat({ max: 3000 }),
  name: fc.constantFrom('a', 'b'),
})

function eventsOf(arrivals: readonly Arrival[]): Event[] {
  return arrivals.map(({ kind, angle, time, name }, offset) => {
    const place = { timestamp: time, position: { topic: 't', partition: 0, offset } }
    const id = kind === 'event' ? `t/0/${offset}` : name
    if (kind === 'tombstone') return event(null, { ...place, id })
    return at(angle, { ...place, id }, { n: offset })
  })
}

/** What is to come of it: a list of what is remembered, and nothing else. */
function expected(events: readonly Event[], last: number, window: number | undefined): (Event | null)[] {
  let firsts: { event: Event; vector: Float32Array; count: number }[] = []
  const apart = (a: Event, b: Event) => window !== undefined && Math.abs(a.timestamp - b.timestamp) >= window
  return events.map((each) => {
    const named = !each.id.startsWith('t/')
    const former = named ? firsts.find(({ event }) => event.id === each.id) : undefined
    firsts = firsts.filter((first) => first !== former)
    if (each.value === null) return each
    const vector = each.vectors.v ?? new Float32Array(2)
    const near = firsts
      .map((first) => ({ first, score: dot(first.vector, vector) }))
      .filter(({ first, score }) => score >= minScore && !apart(first.event, each))
      .reduce<{ first: (typeof firsts)[number]; score: number } | undefined>(
        (best, one) => (best === undefined || one.score > best.score ? one : best),
        undefined,
      )
    if (near !== undefined && former === undefined) {
      const { first } = near
      const value = { ...Object(first.event.value), more: ++first.count }
      return { ...first.event, value, position: each.position, vectors: { v: first.vector } }
    }
    for (let turn = 0; turn < 2; turn++) if (firsts[0] && apart(firsts[0].event, each)) firsts.shift()
    while (firsts.length >= last) firsts.shift()
    firsts.push({ event: each, vector, count: former?.count ?? 0 })
    return { ...each, value: { ...Object(each.value), more: former?.count ?? 0 } }
  })
}

/** Stands for `embed`: the value's angle becomes its vector. */
const turned = defineProcessor({
  kind: 'processor',
  name: 'turned',
  summary: 'turned',
  example: 'turned: {}',
  options: z.unknown(),
  create: () => ({
    process: (batch) => batch.map((each) => ({ ...each, vectors: { v: atAngle(Number(Object(each.value).angle)) } })),
  }),
})

describe('through crashes, replays and failures', () => {
  it('every row is written once and as by a list of what passed, on a log that outlives the pipelines', async () => {
    const life = fc.record({
      angles: fc.array(
        fc.integer({ min: 0, max: 35 }).map((step) => step * 10),
        { maxLength: 40 },
      ),
      block: fc.record({ events: fc.integer({ min: 1, max: 20 }), ageMs: fc.constantFrom(0, 1, 10) }),
      crash: fc.boolean(),
      afterMs: fc.integer({ min: 0, max: 25 }),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(life, { minLength: 2, maxLength: 6 }), async (lives) => {
        const table = new Table()
        await using world = await World.open(turned, sinkOf('table', table))
        const services = { ...world.context.services, embedder: () => Promise.resolve(fakeEmbedder(2)) }
        const context = { ...world.context, services }
        await world.log.ensureTopic('in')
        const published: number[] = []
        const processors = [use('turned'), use('dedupe', { vector: 'v', minScore, countAs: 'more', last: 5 })]
        for (const { angles, block, crash, afterMs } of [...lives, undefined].map((each) => each ?? final)) {
          const pipeline = new Pipeline(specOf({ processors, sinks: [use('table')], block: limits(block) }), context)
          pipeline.start()
          published.push(...angles)
          const records = angles.map((angle) => ({ key: null, value: Buffer.from(JSON.stringify({ angle })) }))
          if (records.length > 0) await world.log.append('in', records)
          await new Promise((resolve) => setTimeout(resolve, afterMs))
          if (!crash) await pipeline.drained()
          await (crash ? pipeline.abort() : pipeline.stop())
        }
        const events = published.map((angle, offset) =>
          at(angle, { id: `t/0/${offset}`, position: { topic: 't', partition: 0, offset } }),
        )
        expect(table.rows).toEqual(summary(expected(events, 5, undefined)))
      }),
      { numRuns: 15 },
    )
  })

  it('everything is decided as by a list of what passed, in whatever batches', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(arrival, { maxLength: 40 }),
        fc.constantFrom(1, 2, 3, 100),
        fc.constantFrom(undefined, 800),
        lives,
        async (arrivals, last, window, lives) => {
          const events = eventsOf(arrivals)
          const outcomes = expected(events, last, window)
          const options = { vector: 'v', minScore, countAs: 'more', last, window }
          const happened = await through(lives, events, () => makeWith(fakeEmbedder(2), dedupe, options))
          expect(new Set(happened.map(([index]) => index)).size).toBe(events.length)
          for (const [index, outcome] of happened) expect(outcome, `${index}`).toEqual(outcomes[index])
        },
      ),
      { numRuns: 300 },
    )
  })
})
