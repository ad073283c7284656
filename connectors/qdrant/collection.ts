import type { QdrantClient } from '@qdrant/js-client-rest'
import { Fatal, InvalidInput, type Rejection } from '../../src/core/errors.ts'
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
  WordQuery,
} from '../../src/core/vector-store.ts'
import { type Indexed, requests, writeApart } from '../../src/core/vector-writes.ts'
import { searchWordByWord } from '../../src/core/word-search.ts'
import { statusOf, storeFailure } from './failure.ts'
import {
  fieldPath,
  indexOf,
  pointId,
  pointPaths,
  readCollection,
  type StoredCollection,
  toMatch,
  toPoint,
  toStoredPoint,
} from './payload.ts'
import { havingWords, isExact, type QdrantFilter, toQdrant } from './where.ts'

/** One request writes so many points, so many numbers and so much text at most; Qdrant takes 32 MB. */
const writePoints = 500
const writeNumbers = 400_000
const writeCharacters = 4_000_000
const deletePoints = 5_000
const scanPage = 500
/** How many points are looked at for a match when Qdrant cannot tell whether they fit: so many, then four times as many, … */
const firstLook = 100
const lookGrowth = 4
/** … and so many at most: they are all in memory at once. */
const longestLook = 40_000

/** Answered once it is done, and in one order on every replica. */
const durable = { wait: true, ordering: 'strong' } as const

type Nearness = Pick<VectorQuery, 'vector' | 'k'>

interface Accepted extends Indexed {
  readonly point: VectorPoint
}

/** One collection of Qdrant. Any number of processes may write to it. */
export class QdrantCollection implements Collection {
  readonly #client: QdrantClient
  readonly #name: string
  readonly #stored: StoredCollection
  readonly #types: FieldTypes
  #settling: Promise<unknown> = Promise.resolve()

  constructor(client: QdrantClient, name: string, stored: StoredCollection) {
    this.#client = client
    this.#name = name
    this.#stored = stored
    this.#types = new FieldTypes(stored.types)
  }

  get spec(): CollectionSpec {
    const { fingerprint, dimension } = this.#stored
    return { name: this.#name, fingerprint, dimension, fields: this.#types.names }
  }

  /** Takes over fields and types that others have settled. */
  learn(types: StoredCollection['types']): void {
    this.#types.merge(types)
  }

  async upsert(points: readonly VectorPoint[]): Promise<Rejection[]> {
    const { last, rejections } = await this.#accept(points)
    const items = Math.max(1, Math.min(writePoints, Math.floor(writeNumbers / this.#stored.dimension)))
    for (const part of requests(last.values(), { items, size: writeCharacters, sizeOf: charactersOf })) {
      rejections.push(...(await writeApart(part, (some) => this.#write(some))))
    }
    return rejections.sort((left, right) => left.index - right.index)
  }

  async #write(accepted: readonly Accepted[]): Promise<void> {
    const points = accepted.map(({ point }) => toPoint(point))
    await this.#attempt('writing to', () => this.#client.upsert(this.#name, { ...durable, points }))
  }

  async delete(ids: readonly string[]): Promise<void> {
    for (let from = 0; from < ids.length; from += deletePoints) {
      const points = ids.slice(from, from + deletePoints).map(pointId)
      await this.#attempt('deleting from', () => this.#client.delete(this.#name, { ...durable, points }))
    }
  }

  async search(query: VectorQuery): Promise<Match[]> {
    assertQuery(query, this.#stored.dimension)
    const matches = await this.#fitting(query, await this.#condition(query))
    return matches.filter(({ score }) => score >= (query.minScore ?? -1))
  }

  async searchWords(query: WordQuery): Promise<Match[]> {
    assertQuery(query, this.#stored.dimension)
    const condition = await this.#condition(query)
    return searchWordByWord(query, (words) => this.#fitting(query, condition, words))
  }

  async count(): Promise<number> {
    return (await this.#attempt('counting', () => this.#client.count(this.#name, { exact: true }))).count
  }

  async *scan(): AsyncIterable<readonly StoredPoint[]> {
    let offset: Awaited<ReturnType<QdrantClient['scroll']>>['next_page_offset'] | undefined
    do {
      const options = { limit: scanPage, with_payload: pointPaths, with_vector: false, ...(offset ? { offset } : {}) }
      const page = await this.#attempt('reading', () => this.#client.scroll(this.#name, options))
      yield page.points.map(toStoredPoint)
      offset = page.next_page_offset
    } while (offset !== null && offset !== undefined)
  }

  /** The points that can be stored, the last of each id, and an answer to the others. Settles what new fields hold. */
  async #accept(points: readonly VectorPoint[]): Promise<{ last: Map<string, Accepted>; rejections: Rejection[] }> {
    for (;;) {
      const last = new Map<string, Accepted>()
      const fresh = new Map<string, FieldType>()
      const rejections = points.flatMap((point, index): Rejection[] => {
        const refusal = this.#types.refusal(point, this.#stored.dimension, fresh)
        if (refusal === undefined) last.set(pointId(point.id), { index, point })
        return refusal === undefined ? [] : [{ index, ...refusal }]
      })
      if (fresh.size === 0) return { last, rejections }
      await this.#settle(fresh)
    }
  }

  /** One after the other, as the first to say what a field holds counts. */
  #settle(types: ReadonlyMap<string, FieldType>): Promise<void> {
    const turn = this.#settling.then(() => this.#settleNow(types))
    this.#settling = turn.catch(() => undefined)
    return turn
  }

  /** A field's index says what it holds. Another process may have made one first, which then counts. */
  async #settleNow(types: ReadonlyMap<string, FieldType>): Promise<void> {
    await this.#refresh()
    for (const [field, type] of types) {
      if (this.#types.type(field) !== undefined) continue
      const index = { field_name: fieldPath(field), field_schema: indexOf[type], ...durable }
      await this.#attempt('indexing', () => this.#client.createPayloadIndex(this.#name, index))
    }
    await this.#refresh()
    this.learn([...types])
  }

  async #refresh(): Promise<void> {
    const info = await this.#attempt('opening', () => this.#client.getCollection(this.#name))
    this.learn(readCollection(info)?.types ?? [])
  }

  async #assertKnown(condition: Condition): Promise<void> {
    if ([...conditionFields(condition)].some((field) => !this.#types.has(field))) await this.#refresh()
    assertKnownFields(condition, this.#name, this.#types.names)
  }

  async #condition({ filter }: Pick<VectorQuery, 'filter'>): Promise<Condition | undefined> {
    const condition = filter === undefined ? undefined : filterCondition(filter)
    if (condition !== undefined) await this.#assertKnown(condition)
    return condition
  }

  /** The nearest for which the condition holds and which have all of the words. */
  async #fitting(query: Nearness, condition: Condition | undefined, words: readonly string[] = []): Promise<Match[]> {
    const parts = [
      ...(condition === undefined ? [] : [toQdrant(condition)]),
      ...(words.length === 0 ? [] : [havingWords(words)]),
    ]
    const wanted = parts.length === 0 ? undefined : { must: parts }
    return condition === undefined || isExact(condition)
      ? this.#nearest(query, query.k, wanted)
      : this.#lookThrough(query, condition, wanted)
  }

  async #nearest(
    { vector }: Nearness,
    limit: number,
    filter: QdrantFilter | undefined,
    exact = false,
  ): Promise<Match[]> {
    const { points } = await this.#attempt('searching', () =>
      this.#client.query(this.#name, {
        query: Array.from(vector),
        limit,
        with_payload: pointPaths,
        ...(filter === undefined ? {} : { filter }),
        params: { exact },
      }),
    )
    return points.map(toMatch)
  }

  /** The best of those that Qdrant takes for fitting, more and more of them, until enough of them do. */
  async #lookThrough(query: Nearness, condition: Condition, filter: QdrantFilter | undefined): Promise<Match[]> {
    for (let wanted = Math.max(firstLook, query.k); ; wanted *= lookGrowth) {
      const limit = Math.min(wanted, longestLook)
      const candidates = await this.#nearest(query, limit, filter, true)
      const matches = candidates.filter(({ fields }) => matchesCondition(condition, fields))
      if (matches.length >= query.k || candidates.length < limit) return matches.slice(0, query.k)
      if (limit < longestLook) continue
      throw new InvalidInput({
        code: 'filter_too_broad',
        message: `Qdrant cannot compare texts by order, and among the ${longestLook} nearest matches that are looked through ${matches.length} of ${query.k} fit the filter.`,
        hint: 'Add a condition on another field, compare numbers instead of texts, or ask for fewer matches.',
      })
    }
  }

  async #attempt<T>(verb: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (statusOf(error) !== 404) throw storeFailure(`${verb} collection "${this.#name}"`, error)
      throw new Fatal({
        code: 'collection_gone',
        message: `Qdrant has no collection "${this.#name}" any more (${verb} it).`,
        hint: 'Start the pipeline again to make it anew, and replay it to fill it.',
      })
    }
  }
}

/** What stands beside the vector, about: the fields, and their words once more. */
function charactersOf({ point: { id, fields, position } }: Accepted): number {
  return 2 * JSON.stringify(fields).length + id.length + position.topic.length + 100
}
