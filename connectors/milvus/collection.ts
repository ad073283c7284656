import type { MilvusClient } from '@zilliz/milvus2-sdk-node'
import { Fatal, type Rejection, Retryable } from '../../src/core/errors.ts'
import { assertKnownFields, conditionFields, type Filter, filterCondition } from '../../src/core/filter.ts'
import { assertQuery, type FieldType, FieldTypes } from '../../src/core/vector-rules.ts'
import type {
  Collection,
  CollectionSpec,
  Match,
  StoredPoint,
  VectorPoint,
  VectorQuery,
  WordQuery,
} from '../../src/core/vector-store.ts'
import { requests, writeApart } from '../../src/core/vector-writes.ts'
import { searchWordByWord } from '../../src/core/word-search.ts'
import type { Connection } from './connection.ts'
import { havingWords, keysAfter, keysExpression, type Predicate, toExpression } from './expression.ts'
import { NotLoaded } from './failure.ts'
import { isInOrder, keyOf, measureFields, resultColumns, rowBytes, toMatch, toRow, toStoredPoint } from './rows.ts'
import { column, type Description, fieldProperties, milvusName, readDescription } from './schema.ts'

/** What one request may hold, well below the 64 MB that Milvus takes. */
const requestLimits = { items: 4_000, size: 16 * 1024 * 1024, sizeOf: ({ bytes }: Accepted) => bytes }
const maximumRequestDeletes = 1_000
const scanPage = 500
const storeAttempts = 5
/** A large collection takes long until it is in memory. */
const loadTimeoutMs = 600_000
/** Every answer reflects every write that was answered before, whoever wrote. */
const consistency = 'Strong'

interface Accepted {
  readonly index: number
  readonly point: VectorPoint
  readonly bytes: number
}

/** One collection of Milvus. Its writes go one after the other; Milvus Lite would mix up concurrent ones. */
export class MilvusCollection implements Collection {
  readonly #connection: Connection
  readonly #name: string
  readonly #milvusName: string
  readonly #fingerprint: string
  readonly #dimension: number
  readonly #fields: FieldTypes
  #writing: Promise<unknown> = Promise.resolve()

  constructor(connection: Connection, name: string, { fingerprint, dimension, fields }: Description) {
    this.#connection = connection
    this.#name = name
    this.#milvusName = milvusName(name)
    this.#fingerprint = fingerprint
    this.#dimension = dimension
    this.#fields = new FieldTypes(fields)
  }

  get spec(): CollectionSpec {
    return {
      name: this.#name,
      fingerprint: this.#fingerprint,
      dimension: this.#dimension,
      fields: this.#fields.names,
    }
  }

  /** Makes fields known that are new. Their types follow with their first values. */
  async declare(names: readonly string[]): Promise<void> {
    const fresh = names.filter((name) => !this.#fields.has(name))
    if (fresh.length === 0) return
    await this.#inTurn(async () => {
      await this.#refresh()
      const missing = fresh.filter((name) => !this.#fields.has(name)).map((name) => [name, null] as const)
      if (missing.length > 0) await this.#store(missing)
    })
  }

  async upsert(points: readonly VectorPoint[]): Promise<Rejection[]> {
    if (points.length === 0) return []
    return this.#inTurn(() => this.#upsert(points))
  }

  async delete(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return
    const keys = [...new Set(ids.map(keyOf))]
    await this.#inTurn(async () => {
      for (let from = 0; from < keys.length; from += maximumRequestDeletes) {
        const filter = keysExpression(keys.slice(from, from + maximumRequestDeletes))
        await this.#connection.call(`deleting from collection "${this.#name}"`, (client) =>
          client.deleteEntities({ collection_name: this.#milvusName, filter }),
        )
      }
    })
  }

  async search(query: VectorQuery): Promise<Match[]> {
    assertQuery(query, this.#dimension)
    const matches = await this.#nearest(query, await this.#predicate(query.filter))
    return matches.filter(({ score }) => score >= (query.minScore ?? -1))
  }

  async searchWords(query: WordQuery): Promise<Match[]> {
    assertQuery(query, this.#dimension)
    const predicate = await this.#predicate(query.filter)
    return searchWordByWord(query, (words) => this.#nearest(query, havingWords(predicate, words)))
  }

  async #nearest({ vector, k }: Pick<VectorQuery, 'vector' | 'k'>, predicate: Predicate): Promise<Match[]> {
    if (predicate === false) return []
    const { results } = await this.#loaded(`searching collection "${this.#name}"`, (client) =>
      client.search({
        collection_name: this.#milvusName,
        anns_field: column.vector,
        data: Array.from(vector),
        limit: k,
        output_fields: resultColumns,
        consistency_level: this.#connection.sdk.ConsistencyLevelEnum[consistency],
        ...(predicate === true ? {} : { filter: predicate }),
      }),
    )
    return results.map((hit) => toMatch(hit))
  }

  async count(): Promise<number> {
    const { data } = await this.#loaded(`counting collection "${this.#name}"`, (client) =>
      client.query({
        collection_name: this.#milvusName,
        output_fields: ['count(*)'],
        consistency_level: this.#connection.sdk.ConsistencyLevelEnum[consistency],
      }),
    )
    return Number(data[0]?.['count(*)'] ?? 0)
  }

  /** In the order of the keys: what is written meanwhile shifts no page. */
  async *scan(): AsyncIterable<readonly StoredPoint[]> {
    for (let after: string | undefined = ''; ; ) {
      const rows = await this.#page(after)
      after = rows.map((row) => String(row[column.key])).at(-1)
      if (after === undefined) return
      yield rows.map(toStoredPoint)
    }
  }

  /** The rows behind a key, about as many as a page has; none if there are no more. */
  async #page(after: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const { data } = await this.#loaded(`reading from collection "${this.#name}"`, (client) =>
      client.query({
        collection_name: this.#milvusName,
        filter: keysAfter(after),
        output_fields: resultColumns,
        limit: scanPage,
        // Without these two, the rows of a page are any that fit, or leave out what a segment had no room for.
        params: { iterator: true, reduce_stop_for_best: true },
        consistency_level: this.#connection.sdk.ConsistencyLevelEnum[consistency],
      }),
    )
    if (isInOrder([after, ...data.map((row) => String(row[column.key]))])) return data
    throw new Fatal({
      code: 'scan_unordered',
      message: `Milvus at ${this.#connection.where} does not list collection "${this.#name}" in the order of its keys, so points could be left out.`,
      hint: 'Use a newer version of Milvus or Milvus Lite.',
    })
  }

  /** Makes a call that needs the collection in memory, and sees to that if it is not. */
  async #loaded<T>(doing: string, work: (client: MilvusClient) => Promise<T>): Promise<T> {
    try {
      return await this.#connection.call(doing, work)
    } catch (error) {
      if (!(error instanceof NotLoaded)) throw error
      await loadCollection(this.#connection, this.#name)
      return this.#connection.call(doing, work)
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#writing.then(work, work)
    this.#writing = turn.catch(() => undefined)
    return turn
  }

  async #upsert(points: readonly VectorPoint[]): Promise<Rejection[]> {
    const rejections: Rejection[] = []
    const fresh = new Map<string, FieldType>()
    const accepted = new Map<string, Accepted>()
    if (points.some((point) => this.#fields.isNews(point))) await this.#refresh()
    for (const [index, point] of points.entries()) {
      const { bytes, problem } = measureFields(point)
      const rejection =
        (problem === undefined ? undefined : { code: 'too_large', message: problem }) ??
        this.#fields.refusal(point, this.#dimension, fresh)
      if (rejection !== undefined) rejections.push({ index, ...rejection })
      // Of one id several times the last counts: Milvus would store each.
      else accepted.set(keyOf(point.id), { index, point, bytes: rowBytes(point, bytes) })
    }
    if (fresh.size > 0) await this.#store(fresh)
    for (const part of requests(accepted.values(), requestLimits)) {
      rejections.push(...(await writeApart(part, (some) => this.#write(some))))
    }
    return rejections.sort((left, right) => left.index - right.index)
  }

  async #write(part: readonly Accepted[]): Promise<void> {
    // The SDK writes each request as JSON for a log that nobody reads; this keeps a megabyte of numbers out of it.
    const request = {
      collection_name: this.#milvusName,
      fields_data: part.map(({ point }) => toRow(point)),
      toJSON: () => this.#milvusName,
    }
    await this.#connection.call(`writing to collection "${this.#name}"`, (client) => client.upsert(request))
  }

  async #predicate(filter: Filter | undefined): Promise<Predicate> {
    if (filter === undefined) return true
    const condition = filterCondition(filter)
    const named = [...conditionFields(condition)]
    if (named.some((name) => this.#fields.type(name) === undefined)) await this.#refresh()
    assertKnownFields(condition, this.#name, this.#fields.names)
    return toExpression(condition, this.#fields)
  }

  /** Stores fields, or the types of fields, with the collection, and sees that no one else's change went over them. */
  async #store(types: Iterable<readonly [string, FieldType | null]>): Promise<void> {
    const all = [...types]
    const properties = fieldProperties(all)
    for (let turn = 0; turn < storeAttempts; turn++) {
      await this.#connection.call(`adding fields to collection "${this.#name}"`, (client) =>
        client.alterCollectionProperties({ collection_name: this.#milvusName, properties }),
      )
      const stored = new Map(await this.#refresh())
      if (all.every(([name, type]) => stored.has(name) && (type === null || (stored.get(name) ?? null) !== null))) {
        return
      }
    }
    throw new Retryable({
      code: 'vectors_unavailable',
      message: `Milvus at ${this.#connection.where} does not keep the fields that are added to collection "${this.#name}".`,
    })
  }

  /** Learns which fields other processes have added, and what types they have. */
  async #refresh(): Promise<Description['fields']> {
    const described = await this.#connection.call(`reading collection "${this.#name}"`, (client) =>
      client.describeCollection({ collection_name: this.#milvusName }),
    )
    const fields = readDescription(described)?.fields ?? []
    this.#fields.merge(fields)
    return fields
  }
}

/** Has a collection held in memory, where Milvus searches it. */
export async function loadCollection(connection: Connection, name: string): Promise<void> {
  await connection.call(`loading collection "${name}"`, (client) =>
    client.loadCollection({ collection_name: milvusName(name), timeout: loadTimeoutMs }),
  )
}
