import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openLanceDb } from '../../connectors/lancedb/index.ts'
import { vectors as vectorsSink } from '../../connectors/vectors.ts'
import type { EventSink, Processor } from '../../src/core/component.ts'
import { Retryable } from '../../src/core/errors.ts'
import type { Event, Json } from '../../src/core/event.ts'
import type { Collection, VectorStore } from '../../src/core/vector-store.ts'
import type { CachingEmbedder } from '../../src/embedding/embedder.ts'
import { similar } from '../../src/processors/similar.ts'
import { openEmbedder, run } from './embedder.ts'
import { CommittedState, contextFor, event, summary } from './support.ts'

let embedder: CachingEmbedder
beforeAll(async () => {
  embedder = await openEmbedder()
})
afterAll(() => embedder.close())

let folder: string
let store: VectorStore
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-similar-'))
  store = await openLanceDb(folder)
})
afterEach(async () => {
  await store.close()
  await rm(folder, { recursive: true, force: true })
})

const options = { collection: 'tickets', vector: 'meaning', k: 2, fields: ['subject'] }

function contextWith(vectors: VectorStore) {
  const context = contextFor('similar')
  const services = Object.create(context.services, {
    embedder: { value: () => Promise.resolve(embedder) },
    vectors: { value: () => Promise.resolve(vectors) },
  })
  return { ...context, services }
}

async function made(given: object = {}, vectors = store): Promise<Processor> {
  return similar.create({ ...options, ...given }, contextWith(vectors))
}

async function sink(collection = 'tickets'): Promise<EventSink> {
  const given = { collection, vector: 'meaning', fields: ['subject', 'customer', 'category'] }
  const opened = await vectorsSink.create(given, contextWith(store))
  if (opened.takes !== 'events') throw new Error('the vectors sink takes events')
  return opened
}

interface Given {
  readonly subject: string
  readonly offset?: number
  readonly customer?: Json
  readonly category?: string
  readonly at?: Partial<Event['position']>
  readonly event?: Partial<Event>
}

async function ticket({
  subject,
  offset = 0,
  customer = 'c1',
  category = 'x',
  at,
  event: fields,
}: Given): Promise<Event> {
  const [meaning = new Float32Array(0)] = await embedder.embed([subject])
  const position = { topic: 't', partition: 0, offset, ...at }
  return event({ subject, customer, category }, { id: `t/0/${offset}`, vectors: { meaning }, position, ...fields })
}

async function stored(given: readonly Given[], collection?: string): Promise<void> {
  const events = await Promise.all(given.map(ticket))
  const lane = { lane: 'test/t/0', signal: new AbortController().signal }
  expect(await (await sink(collection)).write(events, lane)).toEqual([])
}

/** The list of each event, or the code of its failure. */
async function lists(processor: Processor, events: readonly Event[]): Promise<unknown[]> {
  return summary(await run(processor, events)).map((value) =>
    typeof value === 'string' ? value : Object(value).similar,
  )
}

async function ids(processor: Processor, given: Given): Promise<unknown> {
  const [list] = await lists(processor, [await ticket(given)])
  return Array.isArray(list) ? list.map(({ id }) => id) : list
}

const past: readonly Given[] = [
  { subject: 'I was charged twice this month', offset: 1, category: 'billing' },
  { subject: 'Two payments were taken for one order', offset: 2, category: 'billing', customer: 'c2' },
  { subject: 'The site is down', offset: 3, category: 'outage' },
  { subject: 'How can I add a colleague?', offset: 4, category: 'howto' },
]
const charged = { subject: 'Charged two times', offset: 9 }

describe('what is stored', () => {
  it('is joined on as a list, the nearest first', async () => {
    await stored(past)
    const now = await ticket(charged)
    const [outcome] = await run(await made(), [now])
    expect(outcome).toEqual({
      ...now,
      value: {
        ...Object(now.value),
        similar: [
          {
            id: 't/0/1',
            score: expect.closeTo(0.75, 0),
            timestamp: now.timestamp,
            fields: { subject: 'I was charged twice this month' },
          },
          { id: 't/0/2', score: expect.any(Number), timestamp: now.timestamp, fields: { subject: past[1]?.subject } },
        ],
      },
    })
  })

  it('is found by a text as well, and only if it is near enough', async () => {
    await stored(past)
    const byText = await made({ vector: undefined, text: 'value.subject', minScore: 0.3, k: 10 })
    expect(await ids(byText, charged)).toEqual(['t/0/1', 't/0/2'])
    expect(await ids(byText, { subject: 'The cat sat on the mat', offset: 9 })).toEqual([])
  })

  it('is narrowed by a filter, and by what it has in common with the event', async () => {
    await stored(past)
    expect(await ids(await made({ filter: { category: { $ne: 'billing' } } }), charged)).toEqual(['t/0/4', 't/0/3'])
    const same = await made({ where: { customer: 'value.customer' }, filter: { category: 'billing' } })
    expect(await ids(same, { ...charged, customer: 'c2' })).toEqual(['t/0/2'])
    expect(await ids(same, { ...charged, customer: 'c3' })).toEqual([])
    expect(await ids(same, { ...charged, customer: null })).toEqual([])
    expect(await ids(same, { ...charged, customer: ['c2'] })).toBe('bad_where')
    expect(await ids(await made({ where: { customer: 'value.nothing' } }), charged)).toBe('expression_failed')
  })

  it('fades with age, as of the event', async () => {
    const day = 86_400_000
    const old = { event: { timestamp: 1_700_000_000_000 - 100 * day } }
    await stored(past.map((one, index) => (index === 0 ? { ...one, ...old } : one)))
    expect(await ids(await made({ recency: { halfLife: '10d', weight: 0.9 } }), charged)).toEqual(['t/0/2', 't/0/4'])
    expect(await ids(await made({ recency: { halfLife: '10000d' } }), charged)).toEqual(['t/0/1', 't/0/2'])
  })

  it('is gone once it is deleted, and new as soon as it is there', async () => {
    const processor = await made()
    expect(await ids(processor, charged)).toEqual([])
    await sink()
    expect(await ids(processor, charged)).toEqual([])
    await stored(past)
    expect(await ids(processor, charged)).toEqual(['t/0/1', 't/0/2'])
    await (await store.find('tickets'))?.delete(['t/0/1'])
    expect(await ids(processor, charged)).toEqual(['t/0/2', 't/0/4'])
  })
})

describe('an event does not find', () => {
  it('itself, what came with it or after it, when it is replayed', async () => {
    const [first, second] = past
    if (first === undefined || second === undefined) throw new Error('there is no past')
    const same = { subject: charged.subject }
    await stored([
      first,
      { ...same, offset: 9 },
      { ...same, offset: 9, event: { id: 't/0/9#1' } },
      { ...same, offset: 9, event: { id: 'as another pipeline calls it' } },
      ...Array.from({ length: 30 }, (_, n) => ({ ...same, offset: 10 + n })),
      { ...second, offset: 5, at: { partition: 1 }, event: { id: 't/1/5' } },
      { ...same, offset: 6, at: { partition: 1 }, event: { id: 't/1/6', timestamp: 1_700_000_000_001 } },
    ])
    expect(await ids(await made({ k: 5 }), charged)).toEqual(['t/0/1', 't/1/5'])
  })

  it('its own earlier versions, and the pieces of those', async () => {
    await stored([
      { ...charged, offset: 1, event: { id: 'k1#0' } },
      { ...charged, offset: 1, event: { id: 'k1#1' } },
      { ...charged, offset: 2, event: { id: 'k10' } },
      { ...charged, offset: 3, event: { id: 'k2' } },
    ])
    expect(await ids(await made({ k: 5 }), { ...charged, event: { id: 'k1#0' } })).toEqual(['k10', 'k2'])
    expect(await ids(await made({ k: 5 }), { ...charged, event: { id: 'k2' } })).toEqual(
      expect.arrayContaining(['k1#0', 'k1#1', 'k10']),
    )
  })

  it('nothing else for that: of other topics everything counts', async () => {
    const elsewhere = { at: { topic: 'docs' }, event: { timestamp: 1_800_000_000_000 } }
    await stored([{ ...charged, offset: 50, ...elsewhere }], 'docs')
    const sameId = { ...charged, event: { id: 't/0/50' } }
    expect(await ids(await made({ collection: 'docs' }), charged)).toEqual(['t/0/50'])
    expect(await ids(await made({ collection: 'docs' }), sameId)).toEqual(['t/0/50'])
  })
})

it('searches a few at a time, and answers in order', async () => {
  await stored(past)
  let now = 0
  let most = 0
  const counting = watched(async (collection, query) => {
    most = Math.max(most, ++now)
    const found = await collection.search(query)
    now--
    return found
  })
  const events = await Promise.all(
    Array.from({ length: 40 }, (_, n) => ticket({ subject: past[n % 4]?.subject ?? '', offset: 100 + n })),
  )
  const answered = await lists(await made({ k: 1 }, counting), events)
  expect(answered.map((list) => Object(list)[0].id)).toEqual(events.map((_, n) => `t/0/${1 + (n % 4)}`))
  expect(most).toBe(8)
})

it('waits for a store that is down, and begins no more searches of that batch', async () => {
  await stored(past)
  let searches = 0
  const failing = watched(async (collection, query) => {
    searches++
    if (searches === 1) throw new Retryable({ code: 'vectors_unavailable', message: 'the store is down' })
    return collection.search(query)
  })
  const events = await Promise.all(past.map((given) => ticket({ ...given, offset: 100 })))
  const batch = Array.from({ length: 10 }, () => events).flat()
  const processor = await made({}, failing)
  await expect(run(processor, batch)).rejects.toThrow(Retryable)
  expect(searches).toBe(8)
  expect((await lists(processor, events)).map((list) => Object(list).length)).toEqual([2, 2, 2, 2])
})

it('begins no more searches once the lane is abandoned', async () => {
  await stored(past)
  const abandoned = new AbortController()
  let searches = 0
  const counting = watched(async (collection, query) => {
    searches++
    abandoned.abort()
    return collection.search(query)
  })
  const events = await Promise.all(past.map((given) => ticket({ ...given, offset: 100 })))
  const processor = await made({}, counting)
  await expect(processor.process(events, { state: new CommittedState(), signal: abandoned.signal })).rejects.toThrow(
    'aborted',
  )
  expect(searches).toBe(1)
})

it('stops the pipeline where vectors of two models would meet, or a field is misspelt', async () => {
  await store.open({ name: 'old', fingerprint: 'another model', dimension: embedder.dimension, fields: [] })
  await store.open({ name: 'short', fingerprint: embedder.fingerprint, dimension: 3, fields: [] })
  await stored(past)
  const event = await ticket(charged)
  for (const collection of ['old', 'short']) {
    await expect(run(await made({ collection }), [event])).rejects.toMatchObject({
      name: 'Fatal',
      code: 'fingerprint_mismatch',
      hint: expect.stringContaining('millrace migrate'),
    })
  }
  await expect(run(await made({ fields: ['subjct'] }), [event])).rejects.toThrow('"subjct", did you mean "subject"?')
  await expect(run(await made({ filter: { categry: 'x' } }), [event])).rejects.toMatchObject({ code: 'unknown_field' })
})

it('fails events that it cannot compare or change, and no others', async () => {
  await stored(past)
  const good = await ticket(charged)
  const batch = [{ ...good, vectors: {} }, { ...good, value: 'a text' }, good]
  expect(await lists(await made(), batch)).toEqual(['vector_missing', 'value_not_object', expect.any(Array)])
})

it.each([
  ['neither vector nor text', { vector: undefined }, 'give either'],
  ['too many matches', { k: 101 }, '<=100'],
  ['a filter that is none', { filter: { category: { $eqq: 1 } } }, 'unknown operator'],
  ['no half-life', { recency: { halfLife: 0 } }, 'above 0'],
])('refuses options with %s', (_name, given, message) => {
  expect(() => similar.options.parse({ ...options, ...given })).toThrow(message)
})

it('names its vector, its expressions and its field for lint', () => {
  const shape = { fields: new Set(['a']), vectors: new Set(['v']) }
  expect(similar.shape(options, shape).fields).toEqual(new Set(['a', 'similar']))
  expect(similar.references({ ...options, where: { customer: 'value.c' } })).toEqual([
    { kind: 'vector', path: ['vector'], name: 'meaning' },
    { kind: 'expression', path: ['where', 'customer'], text: 'value.c', returns: 'any' },
  ])
})

/** The store, with another search in its collections. */
function watched(search: (collection: Collection, query: Parameters<Collection['search']>[0]) => unknown): VectorStore {
  return Object.create(store, {
    find: {
      value: async (name: string) => {
        const collection = await store.find(name)
        if (collection === undefined) return undefined
        const query = (given: Parameters<Collection['search']>[0]) => search(collection, given)
        return { spec: collection.spec, search: query }
      },
    },
  })
}
