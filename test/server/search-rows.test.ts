import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openLanceDb } from '../../connectors/lancedb/index.ts'
import type { AccessRule } from '../../src/access/index.ts'
import type { VectorStore } from '../../src/core/vector-store.ts'
import { signBySecret } from '../access/signing.ts'
import { tempFolder } from '../support/cli.ts'
import { letters } from './fakes.ts'
import { type Harness, json, startServer } from './harness.ts'

const secret = 'a secret that has thirty-two bytes, and some more'
const rules: AccessRule[] = [
  { when: { role: 'user' }, search: ['*'], rows: { tenant: 'tenants' } },
  { when: { role: 'regional' }, search: ['*'], rows: { tenant: 'tenants', region: 'region' } },
  { when: { role: 'staff' }, search: ['*'] },
]

/** The store is a real one: what it leaves out is left out by its own filter. */
let folder: Awaited<ReturnType<typeof tempFolder>>
let store: VectorStore
let server: Harness
beforeAll(async () => {
  folder = await tempFolder()
  store = await openLanceDb(folder.path)
  const spec = { fingerprint: 'letters-26', dimension: 26 }
  const docs = await store.open({ ...spec, name: 'docs', fields: ['tenant', 'text', 'region'] })
  const bare = await store.open({ ...spec, name: 'bare', fields: ['text'] })
  const point = (id: string, fields: Record<string, string | number | null>) => ({
    id,
    vector: letters('secret plan'),
    fields,
    timestamp: 1,
    position: { topic: 'docs', partition: 0, offset: 0 },
  })
  const tenants = ['acme', 'other', "o'brien", 'acme ', 'ACME', null]
  await docs.upsert([
    ...tenants.flatMap((tenant, at) => [
      point(`${at}-eu`, { tenant, text: 'secret plan', region: 'eu' }),
      point(`${at}-us`, { tenant, text: 'secret plan', region: 'us' }),
    ]),
    point('none', { text: 'secret plan' }),
  ])
  await bare.upsert([point('b', { text: 'secret plan' })])
  server = await startServer({ access: { jwt: { secret, clockTolerance: 0 }, access: rules }, store })
})
afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  await store?.close()
  await folder?.[Symbol.asyncDispose]()
})

async function search(claims: Record<string, unknown>, body: Record<string, unknown>, collection = 'docs') {
  const token = await signBySecret(secret, claims)
  const init = json({ k: 100, text: 'secret plan', ...body })
  const headers = { ...init.headers, authorization: `Bearer ${token}` }
  const response = await server.fetch(`/v1/collections/${collection}/search`, { ...init, headers })
  const answer: { matches?: { id: string }[]; code?: string } = JSON.parse(await response.text())
  return { status: response.status, code: answer.code, ids: (answer.matches ?? []).map(({ id }) => id).toSorted() }
}

const ways: readonly (readonly [string, Record<string, unknown>])[] = [
  ['by meaning', {}],
  ['by meaning and words', { hybrid: true }],
  ['by words almost alone', { hybrid: { weight: 1 } }],
  ['with age', { recency: { halfLife: '7d' } }],
  ['with words and age', { hybrid: true, recency: { halfLife: '7d' } }],
  ['by a vector', { text: undefined, vector: [...letters('secret plan')] }],
]

describe.each(ways)('a search %s', (_, body) => {
  test('finds only what is the caller’s', async () => {
    const acme = { role: 'user', tenants: 'acme' }
    expect((await search(acme, body)).ids).toEqual(['0-eu', '0-us'])
    expect((await search({ role: 'user', tenants: "o'brien" }, body)).ids).toEqual(['2-eu', '2-us'])
    expect((await search({ role: 'user', tenants: ['acme', 'other'] }, body)).ids).toHaveLength(4)
    expect((await search({ role: 'regional', tenants: 'acme', region: 'us' }, body)).ids).toEqual(['0-us'])
    expect((await search({ role: 'staff' }, body)).ids).toHaveLength(13)
  })

  test.each([
    [{ tenant: 'other' }],
    [{ tenant: { $ne: 'acme' } }],
    [{ tenant: { $exists: false } }],
    [{ $or: [{ tenant: 'other' }, { tenant: { $exists: false } }] }],
    [{ tenant: { $nin: ['acme'] } }],
  ])('is not widened by the filter %j', async (filter) => {
    expect(await search({ role: 'user', tenants: 'acme' }, { ...body, filter })).toMatchObject({ status: 200, ids: [] })
  })

  test('keeps the filter of the caller', async () => {
    const filter = { $or: [{ region: 'us' }, { tenant: 'other' }] }
    expect((await search({ role: 'user', tenants: 'acme' }, { ...body, filter })).ids).toEqual(['0-us'])
  })
})

test.each([["acme' OR '1'='1"], ['%'], ['*'], ["' OR tenant IS NOT NULL --"], ['acme\u0000'], [0], [true]])(
  'a claim %j finds nothing of anyone',
  async (tenants) => {
    expect((await search({ role: 'user', tenants }, { hybrid: true })).ids).toEqual([])
  },
)

test('a collection without the field is refused, and says which field', async () => {
  expect(await search({ role: 'user', tenants: 'acme' }, {}, 'bare')).toMatchObject({
    status: 403,
    code: 'rows_unknown',
  })
  expect((await search({ role: 'staff' }, {}, 'bare')).ids).toEqual(['b'])
})
