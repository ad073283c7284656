import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { openLanceDb } from '../../connectors/lancedb/index.ts'
import type { Collection } from '../../src/core/vector-store.ts'
import { defaultWordsWeight, search } from '../../src/search/search.ts'
import { openEmbedder } from '../processors/embedder.ts'
import { codes, paraphrases, texts, type Wanted } from './support-texts.ts'

const best = 10
let collection: Collection
const vectors = new Map<string, Float32Array>()

beforeAll(async () => {
  const embedder = await openEmbedder()
  const folder = await mkdtemp(join(tmpdir(), 'millrace-hybrid-'))
  const store = await openLanceDb(folder)
  collection = await store.open({ name: 'texts', fingerprint: embedder.fingerprint, dimension: 384, fields: ['text'] })
  const made = await embedder.embed([...texts.values()])
  const position = { topic: 'texts', partition: 0, offset: 0 }
  const points = [...texts].flatMap(([id, text], index) => {
    const vector = made[index]
    return vector === undefined ? [] : [{ id, vector, fields: { text }, timestamp: 0, position }]
  })
  expect(await collection.upsert(points)).toEqual([])
  const queries = [...paraphrases, ...codes].map(({ query }) => query)
  const embedded = await embedder.embed(queries, { priority: 'query', purpose: 'query' })
  for (const [index, query] of queries.entries()) vectors.set(query, embedded[index] ?? new Float32Array(384))
  await embedder.close()
  return async () => {
    await store.close()
    await rm(folder, { recursive: true, force: true })
  }
}, 60_000)

/** The ids in the order of the texts' scores; without a weight by meaning alone, with 1 by words alone. */
async function found(query: string, weight?: number): Promise<string[]> {
  const vector = vectors.get(query) ?? new Float32Array(384)
  const words = weight === undefined ? undefined : { text: query, weight }
  const matches = await search(collection, { vector, k: best, words })
  return matches.map(({ id }) => id)
}

/** Normalised discounted cumulative gain at ten: 1 when all that is relevant stands at the top. */
function ndcg(ids: readonly string[], relevant: readonly string[]): number {
  const gain = (rank: number) => 1 / Math.log2(rank + 2)
  const gained = ids.reduce((sum, id, rank) => sum + (relevant.includes(id) ? gain(rank) : 0), 0)
  return gained / relevant.reduce((sum, _, rank) => sum + gain(rank), 0)
}

async function mean(all: readonly Wanted[], find: (query: string) => Promise<readonly string[]>): Promise<number> {
  let sum = 0
  for (const { query, relevant } of all) sum += ndcg(await find(query), relevant)
  return sum / all.length
}

/** A place for each text that depends on the query alone. */
async function atRandom(query: string): Promise<string[]> {
  const place = (id: string) => createHash('sha256').update(`${query}/${id}`).digest('hex')
  const places = [...texts.keys()].map((id) => ({ id, place: place(id) }))
  return places
    .sort((left, right) => (left.place < right.place ? -1 : 1))
    .slice(0, best)
    .map(({ id }) => id)
}

test('the texts are as many as they are said to be, and what is wanted is among them', () => {
  expect(texts.size).toBeGreaterThanOrEqual(120)
  const wanted = [...paraphrases, ...codes]
  expect(wanted.length).toBeGreaterThanOrEqual(40)
  for (const id of wanted.flatMap(({ relevant }) => relevant)) expect(texts.has(id)).toBe(true)
})

test('hybrid search finds better than chance, words or meaning alone', async () => {
  const ways = {
    random: atRandom,
    words: (query: string) => found(query, 1),
    meaning: (query: string) => found(query),
    hybrid: (query: string) => found(query, defaultWordsWeight),
  }
  const figures = new Map<string, { paraphrases: number; codes: number; overall: number }>()
  for (const [name, way] of Object.entries(ways)) {
    const [reworded, exact] = [await mean(paraphrases, way), await mean(codes, way)]
    const overall = (reworded * paraphrases.length + exact * codes.length) / (paraphrases.length + codes.length)
    figures.set(name, { paraphrases: reworded, codes: exact, overall })
  }
  const of = (name: keyof typeof ways) => figures.get(name) ?? { paraphrases: 0, codes: 0, overall: 0 }
  const hybrid = of('hybrid')
  // Measured: random 0.04, words 0.59, meaning 0.81, hybrid 0.86.
  expect(of('random').overall).toBeLessThan(0.1)
  for (const name of ['random', 'words', 'meaning'] as const) expect(hybrid.overall).toBeGreaterThan(of(name).overall)
  expect(hybrid.overall).toBeGreaterThan(of('meaning').overall + 0.03)
  expect(hybrid.overall).toBeGreaterThan(0.84)
  // What words bring to codes they do not take from paraphrases.
  expect(hybrid.codes).toBeGreaterThan(of('meaning').codes + 0.05)
  expect(hybrid.paraphrases).toBeGreaterThanOrEqual(of('meaning').paraphrases - 0.01)
}, 60_000)
