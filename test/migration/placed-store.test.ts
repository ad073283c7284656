import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { openEmbeddedLog } from '../../connectors/embedded-log/index.ts'
import { openLanceDb } from '../../connectors/lancedb/index.ts'
import { Retryable } from '../../src/core/errors.ts'
import type { EventLog } from '../../src/core/event-log.ts'
import type { VectorStore } from '../../src/core/vector-store.ts'
import { placedStore } from '../../src/migration/placed-store.ts'
import { heardMs, Places } from '../../src/migration/places.ts'
import { vectorStoreContract } from '../contracts/vector-store.ts'
import { pointOf, vectorOf } from '../contracts/vector-store-model.ts'
import { searchContract } from '../contracts/vector-store-search.ts'
import { sleep } from '../support/api.ts'

const spec = { name: 'tickets', fingerprint: 'old', dimension: 3, fields: ['n'] }
let folder: string
let log: EventLog
let store: VectorStore
let places: Places

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-placed-'))
  log = await openEmbeddedLog(join(folder, 'log'))
  store = await openLanceDb(join(folder, 'lancedb'))
  places = new Places(async () => log)
  return async () => {
    await store.close()
    await log.close()
    await rm(folder, { recursive: true, force: true })
  }
})

/** What another process does that moves the collection. */
const elsewhere = () => new Places(async () => log)

async function idsIn(name: string): Promise<string[]> {
  const matches = (await (await store.find(name))?.search({ vector: vectorOf(1, 1, 1), k: 100 })) ?? []
  return matches.map(({ id }) => id).sort()
}

test('a collection that was never moved is where its name says', async () => {
  const placed = placedStore(store, places)
  expect(await placed.find('tickets')).toBeUndefined()
  await (await placed.open(spec)).upsert([pointOf('a', [1, 0, 0], {})])
  expect(await idsIn('tickets')).toEqual(['a'])
  expect((await placed.collections()).map((each) => each.spec.name)).toEqual(['tickets'])
  // Nothing is kept in the log before there is something to keep.
  expect(await log.topics()).toEqual([])
})

test('writers wait while it is being moved, then write to where it is; readers go on', async () => {
  const placed = placedStore(store, places)
  const writer = await placed.open(spec)
  await writer.upsert([pointOf('before', [1, 0, 0], {})])
  await (await store.open({ ...spec, name: 'tickets-2' })).upsert([pointOf('before', [1, 0, 0], {})])

  const mover = elsewhere()
  await mover.set('tickets', { current: 'tickets', heldUntil: Date.now() + 60_000 })
  await sleep(heardMs)
  const held = writer.upsert([pointOf('during', [0, 1, 0], {})])
  await expect(held).rejects.toThrow(Retryable)
  await expect(held).rejects.toMatchObject({ code: 'collection_moving' })
  await expect(writer.delete(['before'])).rejects.toMatchObject({ code: 'collection_moving' })
  expect(await (await placed.find('tickets'))?.count()).toBe(1)

  await mover.set('tickets', { current: 'tickets-2' })
  await sleep(heardMs)
  await writer.upsert([pointOf('during', [0, 1, 0], {})])
  expect(await idsIn('tickets-2')).toEqual(['before', 'during'])
  expect(await idsIn('tickets')).toEqual(['before'])
  expect((await placed.find('tickets'))?.spec.name).toBe('tickets')
  const listed = await placed.collections()
  expect(listed.map((each) => [each.spec.name, each.count])).toEqual([['tickets', 2]])
})

test('a hold of a mover that died runs out', async () => {
  const writer = await placedStore(store, places).open(spec)
  await elsewhere().set('tickets', { current: 'tickets', heldUntil: Date.now() + 900 })
  await sleep(600)
  await expect(writer.upsert([pointOf('a', [1, 0, 0], {})])).rejects.toMatchObject({ code: 'collection_moving' })
  await sleep(400)
  expect(await writer.upsert([pointOf('a', [1, 0, 0], {})])).toEqual([])
})

test('a writer of the old model does not write to a collection that was moved', async () => {
  const placed = placedStore(store, places)
  const writer = await placed.open(spec)
  await store.open({ ...spec, name: 'tickets-2', fingerprint: 'new', dimension: 4 })
  await elsewhere().set('tickets', { current: 'tickets-2' })
  await sleep(heardMs)
  const refused = { code: 'fingerprint_mismatch', message: expect.stringContaining('"tickets" has been moved') }
  await expect(writer.upsert([pointOf('a', [1, 0, 0], {})])).rejects.toMatchObject(refused)
  await expect(placed.open(spec)).rejects.toMatchObject(refused)
  expect((await placed.open({ ...spec, fingerprint: 'new', dimension: 4 })).spec.fingerprint).toBe('new')
})

test('while the log cannot be asked, searches go on where the collection was last', async () => {
  let reachable = true
  const unsteady = new Places(async () => {
    if (!reachable) throw new Retryable({ code: 'log_unavailable', message: 'the log is down' })
    return log
  })
  await (await store.open({ ...spec, name: 'tickets-2' })).upsert([pointOf('a', [1, 0, 0], {})])
  await elsewhere().set('tickets', { current: 'tickets-2' })
  const placed = placedStore(store, unsteady)
  const reader = await placed.find('tickets')
  const writer = await placed.open(spec)
  reachable = false
  await sleep(heardMs)
  expect(await reader?.count()).toBe(1)
  await expect(writer.upsert([pointOf('b', [1, 0, 0], {})])).rejects.toMatchObject({ code: 'log_unavailable' })
})

test('places are read on from where they were, compacted or not, and what is no place is passed over', async () => {
  const [one, two] = [places, elsewhere()]
  for (let n = 0; n < 50; n++) await one.set('a', { current: `a-${n}` })
  await one.set('b', { current: 'b-1' })
  expect(await two.latest('a')).toEqual({ current: 'a-49' })
  await log.append('millrace.collections', [
    { key: Buffer.from('a'), value: Buffer.from('no json') },
    { key: Buffer.from('b'), value: Buffer.from('{"current":7}') },
  ])
  await one.set('a', { current: 'a-50' })
  expect(await two.latest('a')).toEqual({ current: 'a-50' })
  expect(await two.latest('b')).toEqual({ current: 'b-1' })
})

describe('a placed store', () => {
  const prepare = async () => {
    const path = await mkdtemp(join(tmpdir(), 'millrace-placed-'))
    const events = await openEmbeddedLog(join(path, 'log'))
    return {
      open: async () => placedStore(await openLanceDb(join(path, 'lancedb')), new Places(async () => events)),
      remove: async () => {
        await events.close()
        await rm(path, { recursive: true, force: true })
      },
    }
  }
  vectorStoreContract('LanceDB with places', prepare, { runs: 5 })
  searchContract('LanceDB with places', prepare, { words: true, runs: 3 })
})

test('words are looked for where a collection is now; a store without them has none behind its places', async () => {
  const placed = placedStore(store, places)
  await (await placed.open({ ...spec, fields: ['text'] })).upsert([pointOf('old', [1, 0, 0], { text: 'alpha' })])
  const moved = await store.open({ ...spec, name: 'tickets-2', fields: ['text'] })
  await moved.upsert([pointOf('new', [1, 0, 0], { text: 'alpha' })])
  const found = await placed.find('tickets')
  const ids = async () => {
    const matches = await found?.searchWords?.({ words: ['alpha'], vector: vectorOf(1, 0, 0), k: 5 })
    return matches?.map(({ id }) => id)
  }
  expect(await ids()).toEqual(['old'])
  await elsewhere().set('tickets', { current: 'tickets-2' })
  await expect.poll(ids, { timeout: 10_000 }).toEqual(['new'])

  const wordless: VectorStore = {
    ...store,
    find: async (name) => {
      const collection = await store.find(name)
      return collection && { ...collection, spec: collection.spec, searchWords: undefined }
    },
  }
  expect((await placedStore(wordless, places).find('tickets'))?.searchWords).toBeUndefined()
})
