import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Connection } from '@lancedb/lancedb'
import { errorCode, errorMessage, Fatal } from '../../src/core/errors.ts'
import { guarded } from '../../src/core/guarded-store.ts'
import { assertCollectionName, assertSameVectors, isCollectionName } from '../../src/core/vector-rules.ts'
import type { Collection, CollectionSpec, VectorStore } from '../../src/core/vector-store.ts'
import { LanceCollection, type TableLimits } from './collection.ts'
import { storeFailure } from './failure.ts'
import { newSchema } from './rows.ts'
import { loadSdk, type Sdk } from './sdk.ts'

/** What LanceDB may keep in memory of all tables together; its own default is several gigabytes. */
const indexCacheBytes = 256n * 1024n * 1024n
const metadataCacheBytes = 64n * 1024n * 1024n

export interface LanceDbOptions {
  /** Collections of this many vectors get an index with a compaction, and are searched approximately. Default 100,000. */
  readonly indexFromRows?: number | undefined
  /** Collections of this many texts get an index of their words, once words were looked for. Default 5,000. */
  readonly indexWordsFromRows?: number | undefined
  /** How long small writes in close succession may be put off at most, to be written as one. Milliseconds, default 500. */
  readonly longestRestMs?: number | undefined
}

/**
 * Opens the embedded vector store in a folder, creating it if need be. One process at a time may write to it. An
 * upsert that was answered survives the death of the process. Throws `Fatal` (`lancedb_missing`,
 * `vector_store_unusable`).
 */
export async function openLanceDb(
  folder: string,
  { indexFromRows = 100_000, indexWordsFromRows = 5_000, longestRestMs = 500 }: LanceDbOptions = {},
): Promise<VectorStore> {
  const sdk = loadSdk()
  try {
    await mkdir(folder, { recursive: true })
    const session = new sdk.lancedb.Session(indexCacheBytes, metadataCacheBytes)
    const connection = await sdk.lancedb.connect(folder, {}, session)
    return guarded(new LanceStore(sdk, folder, connection, { indexFromRows, indexWordsFromRows, longestRestMs }))
  } catch (error) {
    throw new Fatal({
      code: 'vector_store_unusable',
      message: `The vector store cannot be opened in ${folder} (${errorCode(error) ?? errorMessage(error)}). Make the folder writable or choose another with \`data:\`.`,
      cause: error,
    })
  }
}

class LanceStore implements VectorStore {
  readonly #sdk: Sdk
  readonly #folder: string
  readonly #connection: Connection
  readonly #limits: TableLimits
  readonly #opened = new Map<string, Promise<LanceCollection>>()

  constructor(sdk: Sdk, folder: string, connection: Connection, limits: TableLimits) {
    this.#sdk = sdk
    this.#folder = folder
    this.#connection = connection
    this.#limits = limits
  }

  async open(spec: CollectionSpec): Promise<Collection> {
    assertCollectionName(spec.name)
    const collection = await this.#once(spec.name, async () =>
      (await this.#exists(spec.name)) ? this.#connection.openTable(spec.name) : this.#create(spec),
    )
    const folder = join(this.#folder, `${spec.name}.lance`)
    const remedy = `embed it anew with "millrace migrate ${spec.name}", or delete ${folder} and replay the pipeline`
    assertSameVectors(collection.spec, spec, remedy)
    await collection.declare(spec.fields)
    return collection
  }

  async find(name: string): Promise<Collection | undefined> {
    if (!this.#opened.has(name) && (!isCollectionName(name) || !(await this.#exists(name)))) return undefined
    try {
      return await this.#once(name, () => this.#connection.openTable(name))
    } catch (error) {
      if (errorCode(error) === 'not_a_collection') return undefined
      throw error
    }
  }

  async collections(): Promise<readonly { readonly spec: CollectionSpec; readonly count: number }[]> {
    const found = await Promise.all((await this.#connection.tableNames()).map((name) => this.find(name)))
    return Promise.all(
      found
        .filter((collection) => collection !== undefined)
        .map(async (collection) => ({ spec: collection.spec, count: await collection.count() })),
    )
  }

  async close(): Promise<void> {
    const opened = await Promise.allSettled(this.#opened.values())
    await Promise.all(opened.map((result) => (result.status === 'fulfilled' ? result.value.close() : undefined)))
    this.#connection.close()
  }

  /** One collection object per table, however many ask for it at once: it holds the table's one writer. */
  #once(name: string, table: () => ReturnType<Connection['openTable']>): Promise<LanceCollection> {
    const opened = this.#opened.get(name)
    if (opened !== undefined) return opened
    const opening = this.#load(name, table)
    this.#opened.set(name, opening)
    opening.catch(() => this.#opened.delete(name))
    return opening
  }

  async #load(name: string, table: () => ReturnType<Connection['openTable']>): Promise<LanceCollection> {
    let opened: Awaited<ReturnType<typeof table>>
    try {
      opened = await table()
    } catch (error) {
      throw storeFailure(name, 'opening', error)
    }
    return LanceCollection.of(this.#sdk, name, opened, this.#limits)
  }

  /** A process that died while it made a table leaves a folder without a version in it, which does not count. */
  async #exists(name: string): Promise<boolean> {
    try {
      const versions = await readdir(join(this.#folder, `${name}.lance`, '_versions'))
      return versions.some((file) => file.endsWith('.manifest'))
    } catch {
      return false
    }
  }

  #create({ name, fingerprint, dimension, fields }: CollectionSpec): ReturnType<Connection['openTable']> {
    return this.#connection.createEmptyTable(name, newSchema(this.#sdk, fingerprint, dimension, fields))
  }
}
