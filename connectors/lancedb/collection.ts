import type { Table, VectorQuery as VectorSearch } from '@lancedb/lancedb'
import { Fatal, type Rejection } from '../../src/core/errors.ts'
import { assertKnownFields, type Filter, filterCondition } from '../../src/core/filter.ts'
import { assertQuery, type FieldType, FieldTypes, fieldKey } from '../../src/core/vector-rules.ts'
import type {
  Collection,
  CollectionSpec,
  Match,
  StoredPoint,
  VectorPoint,
  VectorQuery,
  WordQuery,
} from '../../src/core/vector-store.ts'
import { fieldsOf, own, typedFields } from './columns.ts'
import { storeFailure } from './failure.ts'
import { GroupWriter } from './group-writer.ts'
import { Maintenance } from './maintenance.ts'
import {
  distanceColumn,
  fieldsMetadata,
  pointColumns,
  readSchema,
  resultColumns,
  toArrow,
  toMatches,
  toScores,
  toStoredPoints,
} from './rows.ts'
import type { Sdk } from './sdk.ts'
import { idsSql, toSql } from './where.ts'
import { type Found, findWords, scanForWords } from './words.ts'

/** Points and deletes that are written as one version of the table, at most. */
const groupLimit = 4_000
const scanPage = 1_000
/** So many points with the best words are looked at for the nearest among them. */
const wordCandidates = 1_000
const minimumPartitions = 24
const allPartitions = 0
const nullOf = { string: 'CAST(NULL AS STRING)', number: 'CAST(NULL AS DOUBLE)', boolean: 'CAST(NULL AS TINYINT)' }

type Write =
  | { readonly kind: 'upsert'; readonly points: readonly VectorPoint[] }
  | { readonly kind: 'delete'; readonly ids: readonly string[] }

/** `LanceDbOptions`, filled in. */
export interface TableLimits {
  readonly indexFromRows: number
  readonly indexWordsFromRows: number
  readonly longestRestMs: number
}

/** One table. All writes of a process go through its one writer, since concurrent merges would double rows. */
export class LanceCollection implements Collection {
  readonly #sdk: Sdk
  readonly #table: Table
  readonly #about: Omit<CollectionSpec, 'fields'>
  readonly #columns: FieldTypes
  readonly #writer: GroupWriter<Write, Rejection[]>
  readonly #maintenance: Maintenance
  /** This process writes to the table, so what it sees of it is the newest. */
  #writes = false

  private constructor(
    sdk: Sdk,
    table: Table,
    about: Omit<CollectionSpec, 'fields'>,
    columns: FieldTypes,
    { indexFromRows, indexWordsFromRows, longestRestMs }: TableLimits,
  ) {
    this.#sdk = sdk
    this.#table = table
    this.#about = about
    this.#columns = columns
    this.#writer = new GroupWriter(groupLimit, longestRestMs, (writes) => this.#commit(writes))
    const fromRows = { vectors: indexFromRows, words: indexWordsFromRows }
    this.#maintenance = new Maintenance(sdk, table, fromRows, (work) => this.#writer.alone(work))
  }

  /** Throws `Fatal` (`not_a_collection`) for a table that Millrace did not make. */
  static async of(sdk: Sdk, name: string, table: Table, limits: TableLimits): Promise<LanceCollection> {
    const schema = await table.schema()
    const about = readSchema(schema)
    if (about === undefined) {
      throw new Fatal({
        code: 'not_a_collection',
        message: `The LanceDB table "${name}" was not made by Millrace. Use another collection name.`,
      })
    }
    const { fingerprint, dimension, fields } = about
    const columns = new FieldTypes(fieldsOf(schema, fields))
    const collection = new LanceCollection(sdk, table, { name, fingerprint, dimension }, columns, limits)
    await collection.#maintenance.begin()
    return collection
  }

  get spec(): CollectionSpec {
    return { ...this.#about, fields: this.#columns.names }
  }

  /** From now on this process is the table's one writer. Makes fields known that are new; their columns follow. */
  async declare(fields: readonly string[]): Promise<void> {
    await this.#writer.alone(async () => {
      if (!this.#writes) await this.#attempt('opening', () => this.#catchUp())
      this.#writes = true
      if (fields.every((field) => this.#columns.has(field))) return
      const all = [...new Set([...this.#columns.names, ...fields])]
      await this.#attempt('opening', () =>
        this.#table.updateFieldMetadata([{ path: own.id, metadata: fieldsMetadata(all) }]),
      )
      this.#columns.merge(fields.map((field) => [field, null]))
    })
  }

  async upsert(points: readonly VectorPoint[]): Promise<Rejection[]> {
    if (points.length === 0) return []
    return this.#writer.write({ kind: 'upsert', points }, points.length)
  }

  async delete(ids: readonly string[]): Promise<void> {
    if (ids.length > 0) await this.#writer.write({ kind: 'delete', ids }, ids.length)
  }

  async search(query: VectorQuery): Promise<Match[]> {
    assertQuery(query, this.#about.dimension)
    const { vector, k, filter, minScore = -1 } = query
    await this.#attempt('searching', () => this.#look())
    const columns = this.#columns
    const nearest = this.#nearest(vector, k)
    if (filter !== undefined) nearest.where(this.#where(filter))
    const found = await this.#attempt('searching', () => nearest.select(resultColumns(columns)).toArrow())
    return toMatches(found, columns).filter(({ score }) => score >= minScore)
  }

  async searchWords({ words, vector, k, filter }: WordQuery): Promise<Match[]> {
    assertQuery({ vector, k }, this.#about.dimension)
    await this.#attempt('searching', () => this.#look())
    const columns = this.#columns
    const texts = typedFields(columns).flatMap(([field, type]) => (type === 'string' ? [field] : []))
    const where = filter === undefined ? undefined : this.#where(filter)
    if (texts.length === 0) return []
    return this.#attempt('searching', async () => {
      const most = Math.max(k, wordCandidates)
      const found = await this.#findWords(texts, words, where, most)
      if (found.length === 0) return []
      const ranks = new Map(found.map(({ id, rank }) => [id, rank]))
      const rankOf = (id: string) => ranks.get(id) ?? 0
      const ids = this.#nearest(vector, found.length).where(idsSql(own.id, [...ranks.keys()]))
      const scores = toScores(await ids.select([own.id, distanceColumn]).toArrow())
      scores.sort((left, right) => rankOf(right.id) - rankOf(left.id) || right.score - left.score)
      // The fields of those alone that are answered: texts may be long.
      const best = new Map(scores.slice(0, k).map(({ id, score }) => [id, score]))
      const rows = this.#table.query().where(idsSql(own.id, [...best.keys()]))
      const points = toStoredPoints(await rows.select(pointColumns(columns)).toArrow(), columns)
      const stored = new Map(points.map((point) => [point.id, point]))
      return [...best].flatMap(([id, score]) => {
        const point = stored.get(id)
        return point === undefined ? [] : [{ ...point, score }]
      })
    })
  }

  async #findWords(
    fields: readonly string[],
    words: readonly string[],
    where: string | undefined,
    most: number,
  ): Promise<Found[]> {
    const columns = fields.map(fieldKey)
    if (await this.#maintenance.hasWords(columns)) return findWords(this.#sdk, this.#table, fields, words, where, most)
    if (this.#writes) this.#maintenance.wantWords(columns)
    return (await scanForWords(this.#table, fields, words, where)).slice(0, most)
  }

  async count(): Promise<number> {
    return this.#attempt('counting', async () => {
      await this.#look()
      return this.#table.countRows()
    })
  }

  /** By ids that are read at once: the files of a version do not stay for as long as a reader may take. */
  async *scan(): AsyncIterable<readonly StoredPoint[]> {
    const ids = await this.#attempt('reading', async () => {
      await this.#look()
      const column = (await this.#table.query().select([own.id]).toArrow()).getChild(own.id)
      return Array.from(column ?? [], String)
    })
    for (let from = 0; from < ids.length; from += scanPage) {
      const page = await this.#attempt('reading', async () => {
        await this.#look()
        const where = idsSql(own.id, ids.slice(from, from + scanPage))
        const columns = this.#columns
        return toStoredPoints(await this.#table.query().where(where).select(pointColumns(columns)).toArrow(), columns)
      })
      yield page
    }
  }

  /** Of an indexed table the nearest partitions are searched, and more only while a filter leaves too few matches. */
  #nearest(vector: Float32Array, k: number): VectorSearch {
    return this.#table
      .query()
      .nearestTo(vector)
      .column(own.vector)
      .distanceType('cosine')
      .maximumNprobes(allPartitions)
      .minimumNprobes(minimumPartitions)
      .limit(k)
  }

  #where(filter: Filter): string {
    const condition = filterCondition(filter)
    assertKnownFields(condition, this.#about.name, this.#columns.names)
    return toSql(condition, this.#columns)
  }

  /** Sees what another process has written. One that writes itself sees its own. */
  async #look(): Promise<void> {
    if (!this.#writes) await this.#catchUp()
  }

  async #catchUp(): Promise<void> {
    await this.#table.checkoutLatest()
    const schema = await this.#table.schema()
    this.#columns.merge(fieldsOf(schema, readSchema(schema)?.fields ?? []))
  }

  /** Waits for the writes in flight. */
  async close(): Promise<void> {
    await Promise.all([this.#maintenance.close(), this.#writer.drained()])
    this.#table.close()
  }

  /** Writes a group as one: per id, its last change counts. */
  async #commit(writes: readonly Write[]): Promise<Rejection[][]> {
    const last = new Map<string, VectorPoint | undefined>()
    const types = new Map<string, FieldType>()
    const answers = writes.map((write) => {
      if (write.kind === 'upsert') return this.#accept(write.points, last, types)
      for (const id of write.ids) last.set(id, undefined)
      return []
    })
    const points = [...last.values()].filter((point) => point !== undefined)
    const deleted = [...last].flatMap(([id, point]) => (point === undefined ? [id] : []))
    await this.#attempt('writing', async () => {
      await this.#addColumns(types)
      if (points.length > 0) await this.#merge(points)
      if (deleted.length > 0) await this.#table.delete(idsSql(own.id, deleted))
    })
    if (this.#maintenance.wrote((points.length > 0 ? 1 : 0) + (deleted.length > 0 ? 1 : 0))) {
      this.#writer.alone(() => this.#maintenance.compact()).catch(() => undefined)
    }
    return answers
  }

  /** Puts the points that can be stored into `last`, in order, and answers the others. */
  #accept(
    points: readonly VectorPoint[],
    last: Map<string, VectorPoint | undefined>,
    types: Map<string, FieldType>,
  ): Rejection[] {
    return points.flatMap((point, index) => {
      const rejection = this.#columns.refusal(point, this.#about.dimension, types)
      if (rejection === undefined) last.set(point.id, point)
      return rejection === undefined ? [] : [{ index, ...rejection }]
    })
  }

  async #addColumns(types: ReadonlyMap<string, FieldType>): Promise<void> {
    if (types.size === 0) return
    await this.#table.addColumns([...types].map(([field, type]) => ({ name: fieldKey(field), valueSql: nullOf[type] })))
    this.#columns.merge(types)
  }

  async #merge(points: readonly VectorPoint[]): Promise<void> {
    const rows = toArrow(this.#sdk, await this.#table.schema(), this.#columns, points)
    await this.#table.mergeInsert(own.id).whenMatchedUpdateAll().whenNotMatchedInsertAll().execute(rows)
  }

  async #attempt<T>(doing: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw storeFailure(this.#about.name, doing, error)
    }
  }
}
