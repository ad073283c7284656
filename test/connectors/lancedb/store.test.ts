import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '@lancedb/lancedb'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { openLanceDb } from '../../../connectors/lancedb/index.ts'
import { Fatal } from '../../../src/core/errors.ts'
import { pointOf, vectorOf } from '../../contracts/vector-store-model.ts'

const spec = { name: 'tickets', fingerprint: 'model', dimension: 3, fields: ['n'] }
let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-lancedb-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

test('many small upserts do not pile up files, and searches go on meanwhile', async () => {
  const store = await openLanceDb(folder, { longestRestMs: 0 })
  const collection = await store.open(spec)
  let searching = true
  const searches = (async () => {
    let done = 0
    while (searching) {
      const matches = await collection.search({ vector: vectorOf(1, 0, 0), k: 1, filter: { n: { $exists: true } } })
      expect(matches.length).toBeLessThanOrEqual(1)
      done++
    }
    return done
  })()
  for (let n = 0; n < 200; n++) await collection.upsert([pointOf(`p${n % 150}`, [1, n, 0], { n }, n)])
  searching = false
  expect(await searches).toBeGreaterThan(10)
  expect(await collection.count()).toBe(150)
  await store.close()
  const table = await (await connect(folder)).openTable(spec.name)
  expect((await table.stats()).fragmentStats.numFragments).toBeLessThanOrEqual(65)
})

test('a large collection is indexed in idle time, and still finds, filters, replaces and deletes', async () => {
  const store = await openLanceDb(folder, { indexFromRows: 2_000, longestRestMs: 0 })
  const collection = await store.open(spec)
  const points = Array.from({ length: 2_500 }, (_, n) =>
    pointOf(`p${n}`, [Math.cos(n / 400), Math.sin(n / 400), 0], { n }, n),
  )
  await collection.upsert(points.slice(0, 2_480))
  for (const point of points.slice(2_480)) await collection.upsert([point])
  await vi.waitFor(async () => expect(await readdir(join(folder, 'tickets.lance'))).toContain('_indices'), 20_000)
  await collection.upsert([pointOf('p7', [0, 0, 1], { n: -7 }), pointOf('new', [0, 0.1, 1], { n: -1 })])
  await collection.delete(['p0'])
  const vector = vectorOf(1, 0, 0)
  const near = await collection.search({ vector, k: 3 })
  expect(near.map(({ id }) => id)).toEqual(['p1', 'p2', 'p3'])
  const rare = await collection.search({ vector, k: 3, filter: { n: { $in: [1_257, 1_300] } } })
  expect(rare.map(({ id }) => id).sort()).toEqual(['p1257', 'p1300'])
  expect((await collection.search({ vector: vectorOf(0, 0, 1), k: 2 })).map(({ id }) => id)).toEqual(['p7', 'new'])
  expect(await collection.count()).toBe(2_500)
  await store.close()
})

test('a large collection is indexed in a stream without a pause too, beside what is written', async () => {
  const store = await openLanceDb(folder, { indexFromRows: 2_000, longestRestMs: 0 })
  const collection = await store.open({ ...spec, fields: ['n', 'late'] })
  const pointAt = (n: number, fields = {}) =>
    pointOf(`p${n}`, [Math.cos(n / 400), Math.sin(n / 400), 0], { n, ...fields }, n)
  await collection.upsert(Array.from({ length: 2_500 }, (_, n) => pointAt(n)))
  const isIndexed = async () => (await readdir(join(folder, 'tickets.lance'))).includes('_indices')
  let written = 0
  while (written < 500 && !(await isIndexed())) {
    await collection.upsert([pointAt(1_000 + written, { late: `w${written}` }), pointAt(5_000 + written)])
    await collection.delete([`p${written}`])
    written++
  }
  expect(await isIndexed()).toBe(true)
  expect(await collection.count()).toBe(2_500)
  const [match] = await collection.search({ vector: pointAt(1_000).vector, k: 1, filter: { late: 'w0' } })
  expect(match).toMatchObject({ id: 'p1000', score: expect.closeTo(1, 5) })
  await store.close()
})

test('a table that a dying process left half made is made anew', async () => {
  await mkdir(join(folder, 'tickets.lance', '_versions'), { recursive: true })
  await mkdir(join(folder, 'other.lance'))
  await using closing = closeable(await openLanceDb(folder))
  const { store } = closing
  expect(await store.find('tickets')).toBeUndefined()
  expect(await store.collections()).toEqual([])
  const collection = await store.open(spec)
  await collection.upsert([pointOf('a', [1, 0, 0], { n: 1 })])
  expect(await collection.count()).toBe(1)
})

test('a table that was made by something else is left alone', async () => {
  await (await connect(folder)).createTable('tickets', [{ id: 'a', vector: [1, 2, 3] }])
  await using closing = closeable(await openLanceDb(folder))
  await expect(closing.store.open(spec)).rejects.toMatchObject({ code: 'not_a_collection' })
  expect(await closing.store.collections()).toEqual([])
})

test('a folder that cannot be used is named, with what to do', async () => {
  const file = join(folder, 'file')
  await writeFile(file, '')
  const opening = openLanceDb(join(file, 'vectors'))
  await expect(opening).rejects.toThrow(Fatal)
  await expect(opening).rejects.toThrow(/vector store cannot be opened in .*ENOTDIR.*writable/)
})

test('a collection name that could leave the folder is refused', async () => {
  await using closing = closeable(await openLanceDb(join(folder, 'inner')))
  for (const name of ['../outer', '', 'a/b', '.hidden']) {
    await expect(closing.store.open({ ...spec, name })).rejects.toMatchObject({ code: 'bad_collection_name' })
    expect(await closing.store.find(name)).toBeUndefined()
  }
  expect(await readdir(folder)).toEqual(['inner'])
})

function closeable<Store extends { close(): Promise<void> }>(store: Store) {
  return { store, [Symbol.asyncDispose]: () => store.close() }
}

test('words of a large collection are found by an index, also what was written, replaced or deleted since', async () => {
  const store = await openLanceDb(folder, { indexWordsFromRows: 1_000 })
  const collection = await store.open({ ...spec, fields: ['text', 'note'] })
  const points = Array.from({ length: 1_500 }, (_, n) => {
    const fields = n % 2 === 0 ? { text: `an error in checkout, x${n}` } : { note: `nothing of it: y${n}` }
    return pointOf(`p${n}`, [Math.cos(n / 400), Math.sin(n / 400), 0], fields, n)
  })
  await collection.upsert(points)
  const odd = [`ERR_4711 “it's” 100%`, 'ÜBERFÄLLE', 'cafe\u0301', '東京都', `${'z'.repeat(300)} \\ "AND" (NOT)`]
  await collection.upsert(odd.map((text, n) => pointOf(`odd${n}`, [-1, n / 10, 0], { text })))
  const find = async (...words: string[]) => {
    const matches = (await collection.searchWords?.({ words, vector: vectorOf(1, 0, 0), k: 5 })) ?? []
    return matches.map(({ id }) => id)
  }
  const scanned = await find('error', '4711', 'checkout')
  expect(scanned[0]).toBe('odd0')
  await vi.waitFor(async () => expect(await readdir(join(folder, 'tickets.lance'))).toContain('_indices'), 20_000)
  const table = await (await connect(folder)).openTable(spec.name)
  await vi.waitFor(async () => {
    await table.checkoutLatest()
    expect(await table.listIndices()).toHaveLength(2)
  }, 20_000)

  expect((await find('error', '4711', 'checkout'))[0]).toBe('odd0')
  expect(await find('y77')).toEqual(['p77'])
  for (const [n, word] of ['100', 'überfälle', 'café', '東京都', 'z'.repeat(300)].entries()) {
    expect([word, await find(word)]).toEqual([word, [`odd${n}`]])
  }
  expect(await find('zz', 'un_known')).toEqual([])
  await collection.upsert([
    pointOf('p77', [0, 0, 1], { note: 'replaced by w1' }),
    pointOf('new', [0, 0, 1], { text: 'w1' }),
  ])
  await collection.delete(['p79'])
  expect(await find('y77', 'y79')).toEqual([])
  expect((await find('w1')).sort()).toEqual(['new', 'p77'])
  const where = { words: ['checkout'], vector: vectorOf(1, 0, 0), k: 5, filter: { text: 'an error in checkout, x8' } }
  expect((await collection.searchWords?.(where))?.map(({ id }) => id)).toEqual(['p8'])
  await store.close()
})
