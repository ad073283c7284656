import { guarded } from '../../src/core/guarded-store.ts'
import { assertCollectionName, assertSameVectors, isCollectionName } from '../../src/core/vector-rules.ts'
import type { Collection, CollectionSpec, VectorStore } from '../../src/core/vector-store.ts'
import { PgCollection } from './collection.ts'
import { Database } from './database.ts'
import { Meta } from './meta.ts'
import type { StoredCollection } from './rows.ts'
import { loadSdk } from './sdk.ts'
import { VectorIndex } from './vector-index.ts'

export interface PgVectorSettings {
  /** `postgres://user:password@host:port/database`; `?sslmode=verify-full` speaks TLS. */
  readonly url: string
  /** Tables of this many rows get an HNSW index and are searched approximately from then on. Default 100,000. */
  readonly indexFromRows?: number | undefined
}

const connections = 8
const connectTimeoutMs = 10_000
const idleMs = 30_000

/**
 * Opens the collections in a PostgreSQL database: one table each, in the schema `millrace`. Any number of processes may
 * use them at the same time. Throws `Retryable` (`vectors_unavailable`) when the server cannot be reached, `Fatal`
 * (`vectors_refused`, `pgvector_missing`, `pg_missing`, `vector_store_unusable`).
 */
export async function openPgVector({ url, indexFromRows = 100_000 }: PgVectorSettings): Promise<VectorStore> {
  const { Pool } = await loadSdk()
  const pool = new Pool({
    connectionString: url,
    application_name: 'millrace',
    max: connections,
    connectionTimeoutMillis: connectTimeoutMs,
    idleTimeoutMillis: idleMs,
    keepAlive: true,
    allowExitOnIdle: true,
  })
  const database = new Database(pool)
  try {
    return guarded(new PgStore(database, await Meta.prepare(database), indexFromRows))
  } catch (error) {
    await database.close()
    throw error
  }
}

class PgStore implements VectorStore {
  readonly #database: Database
  readonly #meta: Meta
  readonly #indexFromRows: number
  readonly #opened = new Map<string, { collection: PgCollection; index: VectorIndex }>()

  constructor(database: Database, meta: Meta, indexFromRows: number) {
    this.#database = database
    this.#meta = meta
    this.#indexFromRows = indexFromRows
  }

  async open(spec: CollectionSpec): Promise<Collection> {
    assertCollectionName(spec.name)
    const stored = await this.#meta.open(spec)
    const collection = this.#collection(stored)
    assertSameVectors(collection.spec, spec)
    return collection
  }

  async find(name: string): Promise<Collection | undefined> {
    const stored = isCollectionName(name) ? await this.#meta.find(name) : undefined
    return stored === undefined ? undefined : this.#collection(stored)
  }

  async collections(): Promise<readonly { readonly spec: CollectionSpec; readonly count: number }[]> {
    const listed: { spec: CollectionSpec; count: number }[] = []
    // One after the other: a count may take long, and others need connections too.
    for (const stored of await this.#meta.all()) {
      const collection = this.#collection(stored)
      listed.push({ spec: collection.spec, count: await collection.count() })
    }
    return listed
  }

  async close(): Promise<void> {
    await Promise.all([...this.#opened.values()].map(({ index }) => index.close()))
    await this.#database.close()
  }

  /** One for each table, however often it is opened: it knows what the fields hold. */
  #collection(stored: StoredCollection): PgCollection {
    const known = this.#opened.get(stored.table)
    if (known !== undefined) {
      known.collection.learn(stored.types)
      return known.collection
    }
    const { table, dimension } = stored
    const index = new VectorIndex(this.#database, { table, dimension, fromRows: this.#indexFromRows })
    const collection = new PgCollection(this.#database, this.#meta, stored, index)
    this.#opened.set(table, { collection, index })
    return collection
  }
}
