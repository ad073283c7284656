import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openLanceDb } from '../../connectors/lancedb/index.ts'
import { vectors } from '../../connectors/vectors.ts'
import type { EventSink } from '../../src/core/component.ts'
import { Retryable } from '../../src/core/errors.ts'
import type { Event } from '../../src/core/event.ts'
import type { Collection, Match, VectorStore } from '../../src/core/vector-store.ts'
import { componentContext, embedderOf, eventAt, sinkContext } from '../support/sinks.ts'

let folder: string
let store: VectorStore

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-vectors-'))
  store = await openLanceDb(folder)
})
afterEach(async () => {
  await store.close()
  await rm(folder, { recursive: true, force: true })
})

async function sink(fingerprint = 'model', collection = 'orders'): Promise<EventSink> {
  const services = { vectors: async () => store, embedder: async () => embedderOf(fingerprint, 2) }
  const options = { collection, vector: 'meaning', fields: ['n', 'tags', 'note'] }
  const made = await vectors.create(options, componentContext('vectors', services))
  if (made.takes !== 'events') throw new Error('The vectors sink takes events.')
  return made
}

async function stored(collection = 'orders'): Promise<Match[]> {
  const found = await store.find(collection)
  const matches = (await found?.search({ vector: Float32Array.of(1, 1), k: 100 })) ?? []
  return matches.sort((left, right) => (left.id < right.id ? -1 : 1))
}

function event(offset: number, changes: Partial<Event> = {}): Event {
  return eventAt(offset, { vectors: { meaning: Float32Array.of(1, offset) }, ...changes })
}

test('stores vector, scalar fields, time and position under the event’s id', async () => {
  const orders = await sink()
  const value = { n: 5, tags: ['a', { b: 1 }], note: null, secret: 'not stored' }
  expect(await orders.write([event(7, { value })], sinkContext)).toEqual([])
  expect(await stored()).toMatchObject([
    {
      id: 'orders/0/7',
      fields: { n: 5, tags: '["a",{"b":1}]' },
      timestamp: 1_700_000_000_007,
      position: { topic: 'orders', partition: 0, offset: 7 },
    },
  ])
  expect((await stored())[0]?.fields).not.toHaveProperty('secret')
})

test('a replay in another grouping changes nothing, and a tombstone deletes', async () => {
  const orders = await sink()
  const events = [event(1), event(2), event(3, { id: 'orders/0/1', value: null, vectors: {} })]
  await orders.write(events, sinkContext)
  const once = await stored()
  expect(once.map(({ id }) => id)).toEqual(['orders/0/2'])
  for (const one of events) await orders.write([one], sinkContext)
  expect(await stored()).toEqual(once)
})

test('events that can never be stored are answered by index', async () => {
  const orders = await sink()
  await orders.write([event(0)], sinkContext)
  const rejections = await orders.write(
    [
      event(1, { vectors: {} }),
      event(2),
      event(3, { vectors: { meaning: Float32Array.of(1, 2, 3) } }),
      event(4, { value: { n: 'text' } }),
      event(5, { vectors: { other: Float32Array.of(1, 2) } }),
    ],
    sinkContext,
  )
  expect(rejections.map(({ index, code }) => [index, code])).toEqual([
    [0, 'missing_vector'],
    [2, 'bad_vector'],
    [3, 'field_type'],
    [4, 'missing_vector'],
  ])
  expect(rejections[3]?.message).toContain('(it has other)')
  expect((await stored()).map(({ id }) => id)).toEqual(['orders/0/0', 'orders/0/2'])
})

test('a batch leaves what its events would have left one by one', async () => {
  const kind = fc.constantFrom('good', 'delete', 'no vector', 'wrong type')
  const history = fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), kind), { maxLength: 10 })
  let run = 0
  await fc.assert(
    fc.asyncProperty(history, async (steps) => {
      run++
      const events = [
        event(0, { id: 'first' }),
        ...steps.map(([id, kind], index) => {
          if (kind === 'delete') return event(index, { id, value: null, vectors: {} })
          if (kind === 'no vector') return event(index, { id, vectors: {} })
          return event(index, { id, value: { n: kind === 'good' ? index : 'text' } })
        }),
      ]
      const [together, apart] = [await sink('model', `together${run}`), await sink('model', `apart${run}`)]
      await together.write(events, sinkContext)
      for (const one of events) await apart.write([one], sinkContext)
      expect(await stored(`together${run}`)).toEqual(await stored(`apart${run}`))
    }),
    { numRuns: 15 },
  )
})

test('a collection of another model is refused', async () => {
  await (await sink()).write([event(1)], sinkContext)
  await expect(sink('another')).rejects.toMatchObject({ code: 'fingerprint_mismatch' })
})

test('options name what they refer to', () => {
  const options = { collection: 'orders', vector: 'meaning', fields: ['n'] }
  expect(vectors.references(options)).toEqual([
    { kind: 'vector', path: ['vector'], name: 'meaning' },
    { kind: 'field', path: ['fields', 0], name: 'n' },
  ])
  expect(vectors.options.safeParse({ ...options, field: [] }).success).toBe(false)
})

test('stores vectors that came with the events, and refuses those of another length', async () => {
  const options = { collection: 'given', field: 'embedding', dimension: 2, fields: ['n'] }
  const services = { vectors: async () => store, embedder: () => Promise.reject(new Error('no model is needed')) }
  const made = await vectors.create(options, componentContext('vectors', services))
  if (made.takes !== 'events') throw new Error('The vectors sink takes events.')
  const values = [{ n: 1, embedding: [1, 0] }, { n: 2, embedding: [1, 0, 0] }, { n: 3, embedding: ['1', 0] }, { n: 4 }]
  const rejected = await made.write(
    values.map((value, offset) => eventAt(offset, { value })),
    sinkContext,
  )
  expect(rejected.map(({ index, code }) => [index, code])).toEqual([
    [1, 'bad_vector'],
    [2, 'missing_vector'],
    [3, 'missing_vector'],
  ])
  expect((await stored('given')).map(({ fields }) => fields)).toEqual([{ n: 1 }])
  expect((await store.find('given'))?.spec.fingerprint).toBe('none')
})

test('after a failure nothing of a batch is still on its way when it is tried again', async () => {
  let deleted = false
  const failing: Collection = {
    spec: { name: 'orders', fingerprint: 'model', dimension: 2, fields: [] },
    upsert: () => Promise.reject(new Retryable({ code: 'vectors_unavailable', message: 'down' })),
    delete: async () => {
      await sleep(50)
      deleted = true
    },
    search: async () => [],
    count: async () => 0,
  }
  const services = {
    vectors: async () => ({ ...store, open: async () => failing }),
    embedder: async () => embedderOf('model', 2),
  }
  const made = await vectors.create({ collection: 'orders', vector: 'meaning' }, componentContext('vectors', services))
  if (made.takes !== 'events') throw new Error('The vectors sink takes events.')
  await expect(made.write([event(1), event(2, { value: null, vectors: {} })], sinkContext)).rejects.toThrow(Retryable)
  expect(deleted).toBe(true)
})
