import type { Rejection } from '../../src/core/errors.ts'
import { assertKnownFields, conditionFields, filterCondition } from '../../src/core/filter.ts'
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
import type { Database } from './database.ts'
import type { Meta } from './meta.ts'
import {
  pointColumns,
  type StoredCollection,
  toColumns,
  toMatch,
  toStoredPoint,
  unstorable,
  vectorText,
} from './rows.ts'
import type { VectorIndex } from './vector-index.ts'
import { toSql } from './where.ts'
import { havingWords } from './words.ts'

/** One statement writes so many points, so many numbers and so much text at most. */
const writePoints = 1_000
const writeNumbers = 400_000
const writeCharacters = 16_000_000
const scanPage = 1_000

interface Accepted extends Indexed {
  readonly point: VectorPoint
}

/** One table. Every process writes to it as it likes: each write is one statement, and the last of an id counts. */
export class PgCollection implements Collection {
  readonly #database: Database
  readonly #meta: Meta
  readonly #stored: StoredCollection
  readonly #types: FieldTypes
  readonly #table: string
  readonly #index: VectorIndex

  constructor(database: Database, meta: Meta, stored: StoredCollection, index: VectorIndex) {
    this.#database = database
    this.#meta = meta
    this.#stored = stored
    this.#types = new FieldTypes(stored.types)
    this.#table = `millrace.${quoted(stored.table)}`
    this.#index = index
  }

  get spec(): CollectionSpec {
    const { name, fingerprint, dimension } = this.#stored
    return { name, fingerprint, dimension, fields: this.#types.names }
  }

  /** Takes over fields and types that others have settled. */
  learn(types: StoredCollection['types']): void {
    this.#types.merge(types)
  }

  async upsert(points: readonly VectorPoint[]): Promise<Rejection[]> {
    const { last, rejections } = await this.#accept(points)
    // In one order everywhere, so that two writers of the same ids wait for each other instead of for ever.
    const ordered = [...last.values()].sort((left, right) => (left.point.id < right.point.id ? -1 : 1))
    const items = Math.max(1, Math.min(writePoints, Math.floor(writeNumbers / this.#stored.dimension)))
    for (const part of requests(ordered, { items, size: writeCharacters, sizeOf: charactersOf })) {
      rejections.push(...(await writeApart(part, (some) => this.#write(some))))
    }
    this.#index.wrote(ordered.length)
    return rejections.sort((left, right) => left.index - right.index)
  }

  async delete(ids: readonly string[]): Promise<void> {
    const known = ids.filter((id) => !id.includes('\0'))
    if (known.length === 0) return
    const sql = `DELETE FROM ${this.#table} WHERE id IN (SELECT id FROM ${this.#table} WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE)`
    await this.#database.query(this.#doing('deleting from'), sql, [known])
  }

  async search(query: VectorQuery): Promise<Match[]> {
    assertQuery(query, this.#stored.dimension)
    const parameters: unknown[] = [vectorText(query.vector), query.k]
    const where = query.filter === undefined ? 'true' : await this.#where(query.filter, parameters)
    const rows = await this.#index.search(this.#doing('searching'), this.#table, where, parameters)
    return rows.map(toMatch).filter(({ score }) => score >= (query.minScore ?? -1))
  }

  async searchWords(query: WordQuery): Promise<Match[]> {
    assertQuery(query, this.#stored.dimension)
    const parameters: unknown[] = [vectorText(query.vector), query.k]
    const where = query.filter === undefined ? 'true' : await this.#where(query.filter, parameters)
    const sql = havingWords(this.#table, where, `$${parameters.length + 1}`)
    return searchWordByWord(query, async (words) => {
      const rows = await this.#database.query(this.#doing('searching'), sql, [...parameters, words.join(' ')])
      return rows.map(toMatch)
    })
  }

  async count(): Promise<number> {
    const [row] = await this.#database.query(this.#doing('counting'), `SELECT count(*) AS n FROM ${this.#table}`)
    return Number(row?.n)
  }

  async *scan(): AsyncIterable<readonly StoredPoint[]> {
    const sql = `SELECT ${pointColumns} FROM ${this.#table} WHERE $1::text IS NULL OR id > $1 ORDER BY id LIMIT ${scanPage}`
    let after: string | null = null
    for (;;) {
      const rows = await this.#database.query(this.#doing('reading'), sql, [after])
      const page = rows.map(toStoredPoint)
      const last = page.at(-1)
      if (last === undefined) return
      yield page
      after = last.id
    }
  }

  /** The points that can be stored, the last of each id, and an answer to the others. Settles what new fields hold. */
  async #accept(points: readonly VectorPoint[]): Promise<{ last: Map<string, Accepted>; rejections: Rejection[] }> {
    for (;;) {
      const last = new Map<string, Accepted>()
      const fresh = new Map<string, FieldType>()
      const rejections = points.flatMap((point, index): Rejection[] => {
        const refusal = unstorable(point) ?? this.#types.refusal(point, this.#stored.dimension, fresh)
        if (refusal === undefined) last.set(point.id, { index, point })
        return refusal === undefined ? [] : [{ index, ...refusal }]
      })
      if (fresh.size === 0) return { last, rejections }
      // Another process may have settled one of them otherwise: what is stored counts, and the points are judged again.
      this.learn(await this.#meta.settle(this.#stored.name, [...fresh]))
    }
  }

  async #write(accepted: readonly Accepted[]): Promise<void> {
    const sql = `
      INSERT INTO ${this.#table} (id, embedding, fields, timestamp, topic, partition, "offset")
      SELECT id, embedding::vector, fields::jsonb, timestamp, topic, partition, "offset"
      FROM unnest($1::text[], $2::text[], $3::text[], $4::float8[], $5::text[], $6::int[], $7::bigint[])
        AS point (id, embedding, fields, timestamp, topic, partition, "offset")
      ON CONFLICT (id) DO UPDATE SET embedding = excluded.embedding, fields = excluded.fields,
        timestamp = excluded.timestamp, topic = excluded.topic, partition = excluded.partition, "offset" = excluded."offset"`
    await this.#database.query(this.#doing('writing to'), sql, toColumns(accepted.map(({ point }) => point)))
  }

  async #where(filter: unknown, parameters: unknown[]): Promise<string> {
    const condition = filterCondition(filter)
    const isUnknown = [...conditionFields(condition)].some((field) => !this.#types.has(field))
    if (isUnknown) this.learn((await this.#meta.find(this.#stored.name))?.types ?? [])
    assertKnownFields(condition, this.#stored.name, this.#types.names)
    return toSql(condition, parameters)
  }

  #doing(verb: string): string {
    return `${verb} collection "${this.#stored.name}"`
  }
}

/** An identifier of SQL. */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** What stands beside the vector, about. */
function charactersOf({ point: { id, fields } }: Accepted): number {
  return JSON.stringify(fields).length + id.length
}
