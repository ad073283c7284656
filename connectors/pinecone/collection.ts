import type { Index } from '@pinecone-database/pinecone'
import { InvalidInput, type Rejection } from '../../src/core/errors.ts'
import {
  assertKnownFields,
  type Condition,
  conditionFields,
  filterCondition,
  matchesCondition,
} from '../../src/core/filter.ts'
import { assertQuery, type FieldType, FieldTypes } from '../../src/core/vector-rules.ts'
import type {
  Collection,
  CollectionSpec,
  Match,
  StoredPoint,
  VectorPoint,
  VectorQuery,
} from '../../src/core/vector-store.ts'
import { Refused, requests, writeApart } from '../../src/core/vector-writes.ts'
import type { Catalog, Description } from './catalog.ts'
import type { Connection } from './connection.ts'
import { type Native, toNative } from './filter.ts'
import { Namespace, orMissing } from './namespace.ts'
import { isWritten, keyOf, type Row, toMatch, toRow, toStoredPoint, toValues } from './records.ts'
import { type Accepted, addressable, chunks, inParallel, requestLimits } from './requests.ts'

/** Pinecone's limits: https://docs.pinecone.io/reference/api/database-limits/operation-limits */
const maximumMetadataBytes = 40_000
const maximumMatches = 10_000
const maximumDeletes = 1_000
/** So few matches are never more than the 4 MB of an answer. */
const surelyAnswered = 100

/** One namespace of the index. */
export class PineconeCollection implements Collection {
  readonly #catalog: Catalog
  readonly #namespace: Namespace
  readonly #fingerprint: string
  readonly #dimension: number
  readonly #fields: FieldTypes
  #settling: Promise<unknown> = Promise.resolve()

  constructor(connection: Connection, catalog: Catalog, name: string, description: Description) {
    const { fingerprint, dimension, fields } = description
    this.#catalog = catalog
    this.#namespace = new Namespace(connection, name, dimension)
    this.#fingerprint = fingerprint
    this.#dimension = dimension
    this.#fields = new FieldTypes(fields)
  }

  get spec(): CollectionSpec {
    return {
      name: this.#namespace.name,
      fingerprint: this.#fingerprint,
      dimension: this.#dimension,
      fields: this.#fields.names,
    }
  }

  /** Makes fields known that are new. Their types follow with their first values. */
  async declare(names: readonly string[]): Promise<void> {
    if (names.every((name) => this.#fields.has(name))) return
    await this.#refresh()
    const missing = names.filter((name) => !this.#fields.has(name)).map((name) => [name, null] as const)
    if (missing.length === 0) return
    await this.#catalog.learn(this.#namespace.name, missing)
    this.#fields.merge(missing)
  }

  async upsert(points: readonly VectorPoint[]): Promise<Rejection[]> {
    if (points.some((point) => this.#fields.isNews(point))) await this.#refresh()
    const { accepted, rejections } = await this.#accept(points)
    const parts = requests(accepted.values(), requestLimits)
    const refused = await inParallel(parts, (part) => writeApart(part, (some) => this.#write(some)))
    return [...rejections, ...refused.flat()].sort((left, right) => left.index - right.index)
  }

  /** The records that can be stored, the last of each id, and an answer to the others. Settles what new fields hold. */
  async #accept(points: readonly VectorPoint[]): Promise<{ accepted: Map<string, Accepted>; rejections: Rejection[] }> {
    for (;;) {
      const rejections: Rejection[] = []
      const fresh = new Map<string, FieldType>()
      const accepted = new Map<string, Accepted>()
      for (const [index, point] of points.entries()) {
        const row = toRow(point)
        const rejection = sizeProblem(row) ?? this.#fields.refusal(point, this.#dimension, fresh)
        if (rejection !== undefined) rejections.push({ index, ...rejection })
        else accepted.set(row.id, { index, row })
      }
      if (fresh.size === 0) return { accepted, rejections }
      await this.#settle(fresh)
    }
  }

  /** One after the other, as the first to say what a field holds counts; another process may have said so before. */
  #settle(types: ReadonlyMap<string, FieldType>): Promise<void> {
    const turn = this.#settling.then(async () => {
      await this.#refresh()
      const missing = [...types].filter(([field]) => this.#fields.type(field) === undefined)
      if (missing.length === 0) return
      await this.#catalog.learn(this.#namespace.name, missing)
      this.#fields.merge(missing)
    })
    this.#settling = turn.catch(() => undefined)
    return turn
  }

  async delete(ids: readonly string[]): Promise<void> {
    const keys = [...new Set(ids.map(keyOf))]
    const namespace = this.#namespace.name
    await inParallel(chunks(keys, maximumDeletes), async (some) => {
      const doing = `deleting from collection "${namespace}"`
      await orMissing(
        this.#namespace.write(
          doing,
          (index) => index.deleteMany({ ids: some, namespace }),
          (index) => areGone(index, namespace, some),
        ),
      )
    })
  }

  async search(query: VectorQuery): Promise<Match[]> {
    assertQuery(query, this.#dimension)
    const { vector, k, filter, minScore = -1 } = query
    const condition = filter === undefined ? undefined : filterCondition(filter)
    const native = condition === undefined ? { filter: true, exact: true } : await this.#native(condition)
    if (native.filter === false) return []
    const matches =
      condition === undefined || native.exact
        ? await this.#query(vector, k, native)
        : await this.#sift(vector, k, native, condition)
    return matches.filter(({ score }) => score >= minScore)
  }

  /** What Pinecone's statistics say, which may be a little behind what a search finds. */
  async count(): Promise<number> {
    const namespace = this.#namespace.name
    const stats = await this.#namespace.read(`counting collection "${namespace}"`, (index) =>
      index.describeIndexStats(),
    )
    return stats.namespaces?.[namespace]?.recordCount ?? 0
  }

  /** In the order of the ids, as Pinecone lists them: what is written meanwhile shifts no page. */
  async *scan(): AsyncIterable<readonly StoredPoint[]> {
    const namespace = this.#namespace.name
    let paginationToken: string | undefined
    do {
      const options = { namespace, ...(paginationToken === undefined ? {} : { paginationToken }) }
      const page = await orMissing(
        this.#namespace.read(`listing collection "${namespace}"`, (index) => index.listPaginated(options)),
      )
      const stored = await this.#fetch((page?.vectors ?? []).flatMap(({ id }) => id ?? []))
      yield [...stored].map(([key, metadata]) => toStoredPoint(key, metadata))
      paginationToken = page?.pagination?.next
    } while (paginationToken !== undefined && paginationToken !== '')
  }

  /** Resolves once other processes too find what was written here. */
  async settled(timeoutMs: number): Promise<void> {
    await this.#namespace.settled(`closing collection "${this.#namespace.name}"`, timeoutMs)
  }

  async #write(part: readonly Accepted[]): Promise<void> {
    const namespace = this.#namespace.name
    const records = part.map(({ row }) => row)
    const last = records.at(-1)
    await this.#namespace.write(
      `writing to collection "${namespace}"`,
      (index) => index.upsert({ records, namespace }),
      async (index) => last === undefined || isStored(index, namespace, last),
    )
  }

  async #query(vector: Float32Array, topK: number, native: Native): Promise<Match[]> {
    try {
      const found = await this.#ask(vector, topK, native, true)
      return found.map(({ id, score, metadata }) => toMatch(id, score, metadata))
    } catch (error) {
      if (!(error instanceof Refused) || topK <= surelyAnswered) throw error
    }
    // The answer would be larger than Pinecone sends: first the ids, then what belongs to them.
    const found = await this.#ask(vector, topK, native, false)
    const stored = await this.#fetch(found.map(({ id }) => id))
    return found.flatMap(({ id, score }) => {
      const metadata = stored.get(id)
      return metadata === undefined ? [] : [toMatch(id, score, metadata)]
    })
  }

  async #ask(vector: Float32Array, topK: number, { filter }: Native, includeMetadata: boolean) {
    const namespace = this.#namespace.name
    const query = {
      namespace,
      vector: toValues(vector),
      topK,
      includeMetadata,
      ...(typeof filter === 'object' ? { filter } : {}),
    }
    const { matches } = await this.#namespace.query(`searching collection "${namespace}"`, (index) =>
      index.query(query),
    )
    return matches
  }

  async #fetch(ids: readonly string[]): Promise<Map<string, Readonly<Record<string, unknown>>>> {
    const namespace = this.#namespace.name
    const pages = await inParallel(addressable(ids), (some) =>
      this.#namespace.read(`reading from collection "${namespace}"`, (index) => index.fetch({ ids: some, namespace })),
    )
    return new Map(
      pages.flatMap(({ records }) => Object.entries(records).map(([id, { metadata }]) => [id, metadata ?? {}])),
    )
  }

  /** Asks for ever more matches of a filter that lets through too many, and takes those that fit the condition. */
  async #sift(vector: Float32Array, k: number, native: Native, condition: Condition): Promise<Match[]> {
    for (let topK = Math.max(surelyAnswered, 4 * k); ; topK *= 8) {
      const asked = Math.min(topK, maximumMatches)
      const found = await this.#query(vector, asked, native)
      const fitting = found.filter(({ fields }) => matchesCondition(condition, fields))
      if (fitting.length >= k || found.length < asked) return fitting.slice(0, k)
      if (asked < maximumMatches) continue
      throw new InvalidInput({
        code: 'filter_too_broad',
        message: `Pinecone cannot compare texts by order, and among the ${maximumMatches} nearest matches that it can look through ${fitting.length} of ${k} fit the filter.`,
        hint: 'Add a condition on another field, compare numbers instead of texts, or ask for fewer matches.',
      })
    }
  }

  async #native(condition: Condition): Promise<Native> {
    const named = [...conditionFields(condition)]
    if (named.some((name) => this.#fields.type(name) === undefined)) await this.#refresh()
    assertKnownFields(condition, this.#namespace.name, this.#fields.names)
    return toNative(condition, this.#fields)
  }

  /** Learns which fields other processes have added, and what types they have. */
  async #refresh(): Promise<void> {
    this.#fields.merge(await this.#catalog.fields(this.#namespace.name))
  }
}

function sizeProblem({ metadata }: Row): Omit<Rejection, 'index'> | undefined {
  const bytes = Buffer.byteLength(JSON.stringify(metadata))
  if (bytes <= maximumMetadataBytes) return undefined
  const message = `What is stored beside the vector takes ${bytes} bytes as JSON; Pinecone takes ${maximumMetadataBytes}.`
  return { code: 'too_large', message }
}

async function isStored(index: Index, namespace: string, row: Row): Promise<boolean> {
  const { records } = await index.fetch({ ids: [row.id], namespace })
  return isWritten(row, records[row.id]?.metadata)
}

/** All of them: one that was never there says nothing about the others. */
async function areGone(index: Index, namespace: string, ids: readonly string[]): Promise<boolean> {
  for (const some of addressable(ids)) {
    const { records } = await index.fetch({ ids: some, namespace })
    if (Object.keys(records).length > 0) return false
  }
  return true
}
