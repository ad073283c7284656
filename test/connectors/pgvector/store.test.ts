import { randomUUID } from 'node:crypto'
import { connect, createServer } from 'node:net'
import { Client, Pool } from 'pg'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { Database } from '../../../connectors/pgvector/database.ts'
import { storeFailure } from '../../../connectors/pgvector/failure.ts'
import { openPgVector } from '../../../connectors/pgvector/index.ts'
import { Fatal, Retryable } from '../../../src/core/errors.ts'
import type { Filter } from '../../../src/core/filter.ts'
import { pointOf, vectorOf } from '../../contracts/vector-store-model.ts'
import { findPostgresServer } from '../../services/postgres.ts'

const server = await findPostgresServer()
const url = server?.url ?? ''
afterAll(() => server?.[Symbol.asyncDispose]())

const specOf = (changes = {}) => ({
  name: `c${randomUUID()}`,
  fingerprint: 'model',
  dimension: 3,
  fields: ['n', 'text'],
  ...changes,
})

async function sql(text: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end()
  }
}

/** A way to the server on which nothing comes back while it is silent, as when a network is cut. */
async function silenceable(target: string) {
  const { hostname, port } = new URL(target)
  let silent = false
  const proxy = createServer((socket) => {
    const upstream = connect(Number(port), hostname)
    socket.pipe(upstream)
    upstream.on('data', (data) => silent || socket.write(data))
    socket.on('close', () => upstream.destroy()).on('error', () => undefined)
    upstream.on('error', () => undefined)
  })
  await new Promise<void>((done) => proxy.listen(0, '127.0.0.1', done))
  const address = proxy.address()
  const own = new URL(target)
  own.host = `127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
  return { url: own.href, silence: (value: boolean) => (silent = value), close: () => proxy.close() }
}

test('a password that is asked for and missing is fatal', () => {
  const error = new Error('SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string')
  expect(storeFailure('a first statement', error)).toMatchObject({ name: 'Fatal', code: 'vectors_refused' })
})

describe.skipIf(server === undefined)('the pgvector store', () => {
  test('many processes may open the same collection of a new database at once', async () => {
    await sql('CREATE DATABASE fresh')
    const fresh = url.replace(/postgres$/, 'fresh')
    const spec = specOf()
    const stores = await Promise.all(Array.from({ length: 6 }, () => openPgVector({ url: fresh })))
    const collections = await Promise.all(stores.map((store) => store.open(spec)))
    await Promise.all(collections.map((each, n) => each.upsert([pointOf(`p${n}`, [1, n, 0], { n })])))
    expect(await collections[0]?.count()).toBe(6)
    await Promise.all(stores.map((store) => store.close()))
  })

  test('what a field holds is settled once for all processes', async () => {
    const spec = specOf()
    const [one, two] = await Promise.all([openPgVector({ url }), openPgVector({ url })])
    const [first, second] = [await one.open(spec), await two.open(spec)]
    const answers = await Promise.all([
      first.upsert([pointOf('a', [1, 0, 0], { n: 1 })]),
      second.upsert([pointOf('b', [1, 0, 0], { n: 'one' })]),
    ])
    expect(answers.flat().map(({ code }) => code)).toEqual(['field_type'])
    await two.open({ ...spec, fields: ['late'] })
    expect(await first.search({ vector: vectorOf(1, 0, 0), k: 3, filter: { late: { $exists: true } } })).toEqual([])
    await Promise.all([one.close(), two.close()])
  })

  test('texts that PostgreSQL cannot hold are refused one by one, and filters by them find nothing', async () => {
    const store = await openPgVector({ url })
    const collection = await store.open(specOf())
    const rejections = await collection.upsert([
      pointOf('good', [1, 0, 0], { text: 'x\ud800' }),
      pointOf('bad\0id', [1, 0, 0], {}),
      pointOf('bad field', [1, 0, 0], { text: 'a\0b' }),
      pointOf('l'.repeat(3_000), [1, 0, 0], {}),
    ])
    expect(rejections.map(({ index, code }) => [index, code])).toEqual([
      [1, 'bad_id'],
      [2, 'bad_field'],
      [3, 'bad_id'],
    ])
    const count = async (filter: Filter) =>
      (await collection.search({ vector: vectorOf(1, 1, 1), k: 9, filter })).length
    expect(await count({ text: 'x\0' })).toBe(0)
    expect(await count({ text: { $ne: 'x\0' } })).toBe(1)
    expect(await count({ text: { $gt: 'w\0' } })).toBe(1)
    expect(await count({ text: { $lte: 'x\ufffd\0' } })).toBe(1)
    await collection.delete(['bad\0id'])
    await store.close()
  })

  test('names of any length and kind are names, never SQL', async () => {
    const store = await openPgVector({ url })
    const long = [`a${'-'.repeat(150)}1`, `a${'-'.repeat(150)}2`]
    for (const name of long) await (await store.open(specOf({ name }))).upsert([pointOf(name, [1, 0, 0], {})])
    const found = await (await store.find(long[1] ?? ''))?.search({ vector: vectorOf(1, 0, 0), k: 5 })
    expect(found?.map(({ id }) => id)).toEqual([long[1]])
    await expect(store.open(specOf({ name: 'x"; DROP SCHEMA millrace CASCADE; --' }))).rejects.toMatchObject({
      code: 'bad_collection_name',
    })
    await store.close()
  })

  test('a large batch is written in parts, and scanned in pages, each point once', async () => {
    const store = await openPgVector({ url })
    const collection = await store.open(specOf())
    const points = Array.from({ length: 5_200 }, (_, n) => pointOf(`p${n}`, [1, n, 0], { n, text: `t${n}` }, n))
    expect(await collection.upsert(points)).toEqual([])
    const seen = new Map<string, unknown>()
    for await (const page of collection.scan?.() ?? []) for (const { id, ...rest } of page) seen.set(id, rest)
    expect(seen.size).toBe(5_200)
    expect(seen.get('p5')).toEqual({
      fields: { n: 5, text: 't5' },
      timestamp: 1_700_000_000_005,
      position: { topic: 'orders', partition: 3, offset: 5 },
    })
    expect(await collection.search({ vector: vectorOf(1, 0, 0), k: 5_200 })).toHaveLength(5_200)
    await store.close()
  })

  test.each([
    ['vector', 16],
    ['halfvec', 2_100],
  ])(
    'a collection that has grown is searched by an index (%s), and a rare field is still found',
    async (_, dimension) => {
      const store = await openPgVector({ url, indexFromRows: 500 })
      const spec = specOf({ dimension })
      const collection = await store.open(spec)
      const vector = (n: number) => Array.from({ length: dimension }, (_, at) => Math.sin(n * (at + 1)) + 0.01 * at)
      const points = Array.from({ length: 600 }, (_, n) => pointOf(`p${n}`, vector(n), { n: n < 3 ? -1 : n }, n))
      await collection.upsert(points)
      await vi.waitFor(
        async () => {
          const [row] = await sql(
            `SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('millrace."v_${spec.name}_hnsw"')`,
          )
          expect(row?.indisvalid).toBe(true)
        },
        { timeout: 20_000, interval: 200 },
      )
      const near = await collection.search({ vector: Float32Array.from(vector(41)), k: 3 })
      expect(near[0]).toMatchObject({ id: 'p41', score: expect.closeTo(1, 5) })
      const rare = await collection.search({ vector: Float32Array.from(vector(41)), k: 10, filter: { n: -1 } })
      expect(rare.map(({ id }) => id).sort()).toEqual(['p0', 'p1', 'p2'])
      expect(await collection.search({ vector: Float32Array.from(vector(5)), k: 1_000 })).toHaveLength(600)
      await store.close()
    },
  )

  test('a database that is not there is fatal, a server that is not there is tried again', async () => {
    const password = 'pa55w0rd'
    const away = openPgVector({ url: `postgres://user:${password}@127.0.0.1:9/db` })
    await expect(away).rejects.toThrow(Retryable)
    await expect(away).rejects.toMatchObject({ code: 'vectors_unavailable' })
    await expect(away).rejects.not.toThrow(password)
    const wrong = openPgVector({ url: url.replace(/postgres$/, 'nowhere') })
    await expect(wrong).rejects.toThrow(Fatal)
    await expect(wrong).rejects.toMatchObject({ code: 'vectors_refused' })
  })

  test('a point that PostgreSQL refuses is answered, and those beside it are stored', async () => {
    const store = await openPgVector({ url })
    const spec = specOf()
    const collection = await store.open(spec)
    await sql(`ALTER TABLE millrace."v_${spec.name}" ALTER COLUMN partition TYPE smallint`)
    const points = Array.from({ length: 9 }, (_, n) => pointOf(`p${n}`, [1, n, 0], { n }, n))
    const bad = { ...pointOf('bad', [1, 0, 0], {}), position: { topic: 'orders', partition: 70_000, offset: 1 } }
    const rejections = await collection.upsert([...points.slice(0, 4), bad, ...points.slice(4)])
    expect(rejections).toMatchObject([{ index: 4, code: 'refused', message: expect.stringContaining('out of range') }])
    expect(await collection.count()).toBe(9)
    await store.close()
  })

  test('a collection that was dropped meanwhile ends its pipeline, and can be made anew', async () => {
    const store = await openPgVector({ url })
    const spec = specOf()
    const collection = await store.open(spec)
    await sql(`DROP TABLE millrace."v_${spec.name}"`)
    const write = collection.upsert([pointOf('a', [1, 0, 0], {})])
    await expect(write).rejects.toThrow(Fatal)
    await expect(write).rejects.toMatchObject({ code: 'collection_gone' })
    const again = await store.open(spec)
    expect(await again.upsert([pointOf('a', [1, 0, 0], {})])).toEqual([])
    await store.close()
  })

  test('an index that was left half built is built anew', async () => {
    const store = await openPgVector({ url, indexFromRows: 100 })
    const spec = specOf({ name: `c${randomUUID().replaceAll('-', '')}` })
    await store.open(spec)
    // A unique index over equal rows fails, and stays behind without being valid.
    const table = `millrace.v_${spec.name}`
    await sql(`INSERT INTO ${table} SELECT 'old' || n, '[1,0,0]', '{}', 0, 't', 0, 0 FROM generate_series(1, 200) AS n`)
    await expect(sql(`CREATE UNIQUE INDEX CONCURRENTLY v_${spec.name}_hnsw ON ${table} (topic)`)).rejects.toThrow()
    const collection = await store.open(spec)
    await collection.upsert([pointOf('a', [1, 0, 0], {})])
    const state = `SELECT indisvalid, amname FROM pg_index JOIN pg_class ON oid = indexrelid JOIN pg_am ON pg_am.oid = relam
      WHERE indexrelid = to_regclass('${table}_hnsw')`
    await vi.waitFor(async () => expect(await sql(state)).toEqual([{ indisvalid: true, amname: 'hnsw' }]), 10_000)
    await store.close()
  })

  test('a table from before gets its index of words, and is searched for them meanwhile', async () => {
    const spec = specOf()
    const index = `v_${spec.name}_words`
    const known = async () => (await sql(`SELECT 1 FROM pg_class WHERE relname = '${index}'`)).length
    const store = await openPgVector({ url })
    await (await store.open(spec)).upsert([pointOf('a', [1, 0, 0], { text: 'ERR_4711' })])
    await vi.waitFor(async () => expect(await known()).toBe(1), 10_000)
    await store.close()
    await sql(`DROP INDEX millrace."${index}"`)
    const again = await openPgVector({ url })
    const collection = await again.open(spec)
    const find = async (word: string) => {
      const matches = await collection.searchWords?.({ words: [word], vector: vectorOf(1, 0, 0), k: 5 })
      return matches?.map(({ id }) => id)
    }
    expect(await find('4711')).toEqual(['a'])
    await collection.upsert([pointOf('b', [1, 0, 0], { text: 'ÜBERFALL' })])
    await vi.waitFor(async () => expect(await known()).toBe(1), 10_000)
    expect([await find('4711'), await find('überfall')]).toEqual([['a'], ['b']])
    await again.close()
  })

  test('a text without a blank in it, longer than an index can hold, is stored', async () => {
    const store = await openPgVector({ url })
    const spec = specOf()
    const collection = await store.open(spec)
    await collection.upsert([pointOf('before', [1, 0, 0], { text: 'x' })])
    const index = `SELECT 1 FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indisvalid AND relname = 'v_${spec.name}_words'`
    await vi.waitFor(async () => expect(await sql(index)).toHaveLength(1), 10_000)
    const long = Array.from({ length: 3_000 }, (_, n) => (n * n * 7_919).toString(36)).join('')
    expect(await collection.upsert([pointOf('long', [1, 0, 0], { text: long })])).toEqual([])
    const query = { words: [long], vector: vectorOf(1, 0, 0), k: 5 }
    expect((await collection.searchWords?.(query))?.map(({ id }) => id)).toEqual(['long'])
    await store.close()
  })

  test('closing does not wait for an index that takes long', async () => {
    const store = await openPgVector({ url, indexFromRows: 100 })
    const spec = specOf({ name: `c${randomUUID().replaceAll('-', '')}` })
    const collection = await store.open(spec)
    const blocker = new Client({ connectionString: url })
    await blocker.connect()
    await blocker.query(`BEGIN; LOCK TABLE millrace.v_${spec.name} IN ROW EXCLUSIVE MODE`)
    const points = Array.from({ length: 200 }, (_, n) => pointOf(`p${n}`, [1, n, 0], {}, n))
    await collection.upsert(points)
    const building = `SELECT 1 FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%${spec.name}%' AND state = 'active'`
    await vi.waitFor(async () => expect(await sql(building)).toHaveLength(1), 10_000)
    await store.close()
    expect(await sql(building)).toEqual([])
    await blocker.end()
  })

  test('a server that does not answer any more is given up, and the connection with it', async () => {
    const proxy = await silenceable(url)
    const pool = new Pool({ connectionString: proxy.url, max: 1 })
    const database = new Database(pool, 300, 200)
    expect(await database.query('asking', 'SELECT 1 AS one')).toEqual([{ one: 1 }])
    proxy.silence(true)
    await expect(database.query('asking', 'SELECT 2')).rejects.toMatchObject({ code: 'vectors_unavailable' })
    proxy.silence(false)
    expect(await database.query('asking', 'SELECT 3 AS one')).toEqual([{ one: 3 }])
    await database.close()
    proxy.close()
  })

  test('a server that goes down and comes back is found again', async () => {
    const store = await openPgVector({ url })
    const collection = await store.open(specOf())
    await collection.upsert([pointOf('a', [1, 0, 0], {})])
    await server?.kill()
    await expect(collection.upsert([pointOf('b', [1, 0, 0], {})])).rejects.toMatchObject({
      code: 'vectors_unavailable',
    })
    await expect(collection.count()).rejects.toThrow(Retryable)
    await server?.restart()
    await collection.upsert([pointOf('b', [1, 0, 0], {})])
    expect(await collection.count()).toBe(2)
    await store.close()
  })
})
