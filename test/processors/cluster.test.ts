import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Retryable } from '../../src/core/errors.ts'
import type { Event, Json } from '../../src/core/event.ts'
import type { LaneState, StateReader } from '../../src/core/state.ts'
import type { CachingEmbedder } from '../../src/embedding/embedder.ts'
import { LaneStates } from '../../src/engine/lane-state.ts'
import { cluster } from '../../src/processors/cluster.ts'
import { Clusters } from '../../src/processors/cluster-memory.ts'
import { tellingWords } from '../../src/processors/cluster-words.ts'
import { ClusterModel } from './cluster-model.ts'
import { shuffledTexts, textsByTopic } from './cluster-texts.ts'
import { makeWith, openEmbedder, run } from './embedder.ts'
import { CommittedState, event, events, summary } from './support.ts'

const texts = shuffledTexts(1).map(({ text }) => text)
const { delivery = [], billing = [], crash = [] } = textsByTopic

let embedder: CachingEmbedder
let vectors: ReadonlyMap<string, Float32Array>
beforeAll(async () => {
  embedder = await openEmbedder()
  const made = await embedder.embed(texts)
  vectors = new Map(texts.map((text, index) => [text, made[index] ?? new Float32Array(embedder.dimension)]))
})
afterAll(() => embedder.close())

const fields = { as: 'id', nameAs: 'name', sizeAs: 'size', scoreAs: 'score' }
const options = { vector: 'meaning', text: 'value.text', ...fields }

function arrivalOf(text: string, offset: number): Event {
  const meaning = vectors.get(text) ?? new Float32Array(embedder.dimension)
  return event({ text }, { position: { topic: 't', partition: 0, offset }, vectors: { meaning } })
}

/** What the events are given when they are handed over in batches of these sizes, by a processor that starts anew. */
async function assigned(
  arrivals: readonly Event[],
  sizes: readonly number[] = [1_000],
  state: LaneState = new CommittedState(),
  given: object = options,
) {
  const processor = await makeWith(embedder, cluster, given)
  const results: unknown[] = []
  for (let from = 0, turn = 0; from < arrivals.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1
    results.push(...summary(await run(processor, arrivals.slice(from, from + size), state)))
    from += size
  }
  return results
}

describe('an event', () => {
  it('joins the nearest cluster, or founds one under its position', async () => {
    const [first = '', second = ''] = crash
    const results = await assigned([first, second, billing[0] ?? ''].map(arrivalOf))
    expect(results).toMatchObject([
      { id: 't/0/0', size: 1, score: 1, name: 'app, crashes, open' },
      { id: 't/0/0', size: 2, name: expect.stringMatching(/^app/) },
      { id: 't/0/2', size: 1, score: 1, name: expect.stringContaining('charged') },
    ])
    expect(results[1]).toHaveProperty('score', expect.closeTo(0.6, 0))
  })

  it('is embedded here if it brings a text in place of a vector', async () => {
    const given = { text: 'value.text', as: 'id' }
    const results = await assigned(events(...texts.map((text) => ({ text }))), [10], new CommittedState(), given)
    const ids = await assigned(texts.map(arrivalOf), [10], new CommittedState(), { vector: 'meaning', as: 'id' })
    expect(results).toEqual(ids)
    expect(results[0]).toEqual({ text: texts[0], id: 't/0/0' })
  })

  it('keeps everything else it has', async () => {
    const processor = await makeWith(embedder, cluster, options)
    const given = { ...arrivalOf(texts[0] ?? '', 7), key: 'k', timestamp: 5 }
    const [outcome] = await run(processor, [given])
    expect(outcome).toMatchObject({ id: given.id, key: 'k', timestamp: 5, vectors: given.vectors })
  })

  it('fails alone if it cannot be compared, changed or read, and leaves no trace', async () => {
    const good = arrivalOf(texts[0] ?? '', 4)
    const batch = [
      { ...good, vectors: {} },
      { ...good, vectors: { meaning: new Float32Array(3).fill(1) } },
      { ...good, value: 'a text' },
      { ...good, value: { other: 1 } },
      good,
    ]
    const state = new CommittedState()
    const results = await assigned(batch, [5], state)
    expect(results.slice(0, 4)).toEqual([
      'vector_missing',
      'dimension_mismatch',
      'value_not_object',
      'expression_failed',
    ])
    expect(results[4]).toMatchObject({ size: 1 })
    expect(state.entries.size).toBe(2)
  })

  it('of several at one offset gives each cluster an id of its own, in whatever batches they come', async () => {
    const pieces = [delivery[0], billing[0], crash[0], crash[1]].map((text, n) => {
      return { ...arrivalOf(text ?? '', 9), id: `t/0/9#${n}` }
    })
    for (const sizes of [[4], [1], [2, 1]]) {
      const ids = await assigned(pieces, sizes)
      expect(ids).toMatchObject([{ id: 't/0/9' }, { id: 't/0/9#1' }, { id: 't/0/9#2' }, { id: 't/0/9#2' }])
    }
  })
})

const sizes = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 })
const history = fc.array(fc.nat({ max: texts.length - 1 }), { minLength: 1, maxLength: 150, size: 'max' })
const bounds = fc.record({ minScore: fc.constantFrom(0, 0.2, 0.35, 0.5), most: fc.constantFrom(1, 2, 5, 200) })

function arrivalsOf(picked: readonly number[]): Event[] {
  // Now and then two at one offset.
  return picked.map((index, at) => arrivalOf(texts[index] ?? '', at % 5 === 4 ? at - 1 : at))
}

function expected(arrivals: readonly Event[], given: { readonly minScore: number; readonly most: number }) {
  const model = new ClusterModel(given)
  return arrivals.map(({ value, position, vectors: { meaning } }) => {
    const text = String(Object(value).text)
    const vector = meaning ?? new Float32Array(0)
    return { text, ...model.take({ offset: position.offset, vector, words: tellingWords(text) }) }
  })
}

describe('whatever the batches', () => {
  it('decides as if the events had come one by one', async () => {
    await fc.assert(
      fc.asyncProperty(history, sizes, bounds, async (picked, split, given) => {
        const arrivals = arrivalsOf(picked)
        const results = await assigned(arrivals, split, new CommittedState(), { ...options, ...given })
        expect(results).toEqual(expected(arrivals, given))
      }),
      { numRuns: 60 },
    )
  })

  it('decides the same after a replay from any committed offset', async () => {
    await fc.assert(
      fc.asyncProperty(history, fc.nat(), sizes, bounds, async (picked, at, split, given) => {
        const arrivals = arrivalsOf(picked)
        const { offset: commit } = arrivals[at % arrivals.length]?.position ?? { offset: 0 }
        const committed = new Map<string, Json>()
        const reader: StateReader = {
          get: (keys) => Promise.resolve(keys.map((key) => committed.get(key))),
          async *scan() {},
        }
        const before = new LaneStates(reader)
        await assigned(arrivals, split, before.scope('cluster'), { ...options, ...given })
        for (const { key, value } of before.below(commit)) {
          if (value === undefined) committed.delete(key)
          else committed.set(key, JSON.parse(JSON.stringify(value)))
        }
        const rest = arrivals.filter(({ position }) => position.offset >= commit)
        const after = new LaneStates(reader).scope('cluster')
        const results = await assigned(rest, split.toReversed(), after, { ...options, ...given })
        expect(results).toEqual(expected(arrivals, given).slice(-rest.length))
      }),
      { numRuns: 60 },
    )
  })

  it('goes on after restarts as if there had been none', async () => {
    const arrivals = texts.map(arrivalOf)
    const state = new CommittedState()
    const results: unknown[] = []
    for (const one of arrivals) results.push(...(await assigned([one], [1], state)))
    expect(results).toEqual(await assigned(arrivals))
  })

  it('counts nothing twice when a batch is tried again', async () => {
    let down = true
    const flaky = Object.create(embedder, {
      embed: {
        value: (...given: Parameters<CachingEmbedder['embed']>) => {
          if (!down) return embedder.embed(...given)
          down = false
          return Promise.reject(new Retryable({ code: 'embedder_down', message: 'down' }))
        },
      },
    })
    const processor = await makeWith(flaky, cluster, { text: 'value.text', ...fields })
    const state = new CommittedState()
    const batch = events({ text: texts[0] ?? '' })
    await expect(run(processor, batch, state)).rejects.toThrow('down')
    expect(state.entries.size).toBe(0)
    expect(summary(await run(processor, batch, state))).toMatchObject([{ size: 1 }])
  })

  it('keeps lanes apart', async () => {
    const processor = await makeWith(embedder, cluster, options)
    const [one, other] = [new CommittedState(), new CommittedState()]
    const first = arrivalOf(texts[0] ?? '', 0)
    const elsewhere = { ...first, position: { topic: 't', partition: 1, offset: 0 } }
    const results = [...(await run(processor, [first], one)), ...(await run(processor, [elsewhere], other))]
    expect(summary(results)).toMatchObject([
      { id: 't/0/0', size: 1 },
      { id: 't/1/0', size: 1 },
    ])
  })
})

describe('what is remembered', () => {
  it('is bounded by `most`, and in size', async () => {
    const state = new CommittedState()
    const long = { text: Array.from({ length: 3_000 }, (_, n) => `${'word'.repeat(9)}${n} ähnlich${n}`).join(' ') }
    const arrivals = Array.from({ length: 100 }, (_, n) => ({
      ...arrivalOf(texts[n % texts.length] ?? '', n),
      value: long,
    }))
    await assigned(arrivals, [7], state, { ...options, most: 10, minScore: 0.9 })
    expect([...state.entries.keys()].toSorted()).toEqual([...Array.from({ length: 10 }, (_, n) => `c${n}`), 'head'])
    const largest = Math.max(...[...state.entries.values()].map((value) => JSON.stringify(value).length))
    expect(largest).toBeLessThan(embedder.dimension * 5.4 + 64 * (32 + 8) + 200)
  })

  it('is compared with no more than `most` centroids', async () => {
    const clusters = await Clusters.load(new CommittedState(), embedder, { minScore: 0.99, most: 10 })
    for (const [offset, text] of texts.entries()) {
      const arrival = arrivalOf(text, offset)
      const vector = arrival.vectors.meaning ?? new Float32Array(0)
      const [scores] = await clusters.compare([vector])
      expect(scores?.length).toBeLessThanOrEqual(10)
      clusters.assign(arrival, vector, scores, [])
    }
    expect(clusters.size).toBe(10)
  })

  it('loses the smallest of those that were not met for longest', async () => {
    const of = { a: delivery[0] ?? '', b: billing[0] ?? '', c: crash[0] ?? '', d: 'How is the weather in Oslo?' }
    vectors = new Map([...vectors, [of.d, (await embedder.embed([of.d]))[0] ?? new Float32Array(0)]])
    const arrivals = [of.a, of.a, of.b, of.c, of.c, of.c, of.c, of.d].map(arrivalOf)
    const state = new CommittedState()
    await assigned(arrivals, [8], state, { ...options, most: 4 })
    const after = await assigned([{ ...arrivalOf(of.d, 8), vectors: { meaning: opposite(of.d) } }], [1], state, {
      ...options,
      most: 4,
    })
    expect(after).toMatchObject([{ id: 't/0/8', size: 1 }])
    // b was smaller than a, and both had not been met for longer than c and d.
    expect(storedIds(state)).toEqual(['t/0/0', 't/0/3', 't/0/7', 't/0/8'])
  })

  it('shrinks when `most` does', async () => {
    const state = new CommittedState()
    await assigned(texts.map(arrivalOf), [9], state, { ...options, minScore: 0.9 })
    expect(state.entries.size).toBeGreaterThan(50)
    const odd = [{ ...arrivalOf(texts[0] ?? '', 100), vectors: { meaning: opposite(texts[0] ?? '') } }]
    await assigned(odd, [1], state, { ...options, minScore: 0.9, most: 4 })
    expect(storedIds(state)).toHaveLength(4)
    await assigned(
      texts.map((text, n) => arrivalOf(text, 200 + n)),
      [9],
      state,
      { ...options, most: 4 },
    )
    expect(state.entries.size).toBe(5)
  })

  it('begins anew with another model, under ids that were never used', async () => {
    const state = new CommittedState()
    await assigned(texts.map(arrivalOf), [9], state)
    const other = Object.create(embedder, { fingerprint: { value: 'another model' } })
    const processor = await makeWith(other, cluster, options)
    expect(storedIds(state).length).toBeGreaterThan(5)
    expect(summary(await run(processor, [arrivalOf(texts[0] ?? '', 300)], state))).toMatchObject([{ id: 't/0/300' }])
    expect(storedIds(state)).toEqual(['t/0/300'])
  })

  it('follows a subject that changes: the name and the centroid, not the id', async () => {
    const [from, to] = [delivery.map(arrivalOf), billing.map((text, n) => arrivalOf(text, 12 + n))]
    const again = (all: readonly Event[], times: number) => Array.from({ length: times }, () => all).flat()
    const all = [...again(from, 8), ...again(to, 16)].map((one, offset) => {
      return { ...one, position: { ...one.position, offset } }
    })
    const results = await assigned(all, [50], new CommittedState(), { ...options, minScore: 0 })
    const at = (index: number) => Object(results.at(index))
    expect(at(95).name).toMatch(/order|parcel/)
    expect(at(-1).name).toMatch(/invoice|refund|payment/)
    expect(at(-1).id).toBe('t/0/0')
    expect(at(-1).score).toBeGreaterThan(at(96).score)
  })
})

function opposite(text: string): Float32Array {
  return (vectors.get(text) ?? new Float32Array(embedder.dimension)).map((value) => -value)
}

function storedIds(state: CommittedState): string[] {
  return [...state.entries.values()].flatMap((value) => Object(value).id ?? []).toSorted()
}

it.each([
  ['neither vector nor text', {}, 'or both'],
  ['a name without a text', { vector: 'v', nameAs: 'name' }, 'a name is made'],
  ['a field twice', { vector: 'v', as: 't', sizeAs: 't' }, '\\"as\\" takes the field \\"t\\" already'],
  ['a field twice, once by default', { vector: 'v', scoreAs: 'cluster' }, 'already'],
  ['a text that is not read', { vector: 'v', text: 'value.t' }, 'only read for the name'],
  ['a score that compares nothing', { vector: 'v', minScore: -1 }, '>=0'],
  ['too many clusters', { vector: 'v', most: 2_001 }, '<=2000'],
])('refuses options with %s', (_name, given, message) => {
  expect(() => cluster.options.parse(given)).toThrow(message)
})

it('names its vector, its text and its fields for lint', () => {
  const shape = { fields: new Set(['a']), vectors: new Set(['v']) }
  expect(cluster.shape({ vector: 'v' }, shape).fields).toEqual(new Set(['a', 'cluster']))
  expect(cluster.shape({ text: 't', ...fields }, shape).fields).toEqual(new Set(['a', 'id', 'name', 'size', 'score']))
  expect(cluster.references({ vector: 'v', text: 'value.t', nameAs: 'n' })).toEqual([
    { kind: 'vector', path: ['vector'], name: 'v' },
    { kind: 'expression', path: ['text'], text: 'value.t', returns: 'string' },
  ])
})
