import { errorCode, Fatal } from '../../src/core/errors.ts'
import { guarded } from '../../src/core/guarded-store.ts'
import {
  assertCollectionName,
  assertSameVectors,
  isCollectionName,
  isSameVectors,
} from '../../src/core/vector-rules.ts'
import type { Collection, CollectionSpec, VectorStore } from '../../src/core/vector-store.ts'
import { loadCollection, MilvusCollection } from './collection.ts'
import { Connection, type MilvusSettings } from './connection.ts'
import { isMissingCollection, statusOf, succeeded } from './failure.ts'
import {
  collectionName,
  column,
  columns,
  type Description,
  milvusName,
  newProperties,
  readDescription,
} from './schema.ts'

export type { MilvusSettings } from './connection.ts'

/** Collections whose descriptions and counts are asked for at once. */
const listedAtOnce = 8

/**
 * Binds vectors to a Milvus server or cluster. The server is asked when a collection is first opened: until it can be
 * reached, calls throw `Retryable` (`vectors_unavailable`). Throws `Fatal` (`milvus_missing`).
 */
export async function openMilvus(settings: MilvusSettings): Promise<VectorStore> {
  return guarded(new MilvusStore(new Connection(settings)))
}

class MilvusStore implements VectorStore {
  readonly #connection: Connection
  readonly #opened = new Map<string, Promise<MilvusCollection | undefined>>()

  constructor(connection: Connection) {
    this.#connection = connection
    // Says at once if it cannot be loaded.
    void connection.sdk
  }

  async open(spec: CollectionSpec): Promise<Collection> {
    assertCollectionName(spec.name)
    const collection = (await this.#current(spec.name)) ?? (await this.#make(spec))
    const { where } = this.#connection
    const remedy = `drop the collection "${milvusName(spec.name)}" in Milvus at ${where} and replay the pipeline`
    assertSameVectors(collection.spec, spec, remedy)
    await collection.declare(spec.fields)
    return collection
  }

  async find(name: string): Promise<Collection | undefined> {
    return isCollectionName(name) ? this.#known(name) : undefined
  }

  async collections(): Promise<readonly { readonly spec: CollectionSpec; readonly count: number }[]> {
    const { data } = await this.#connection.call('listing collections', (client) => client.showCollections())
    const listed: { spec: CollectionSpec; count: number }[] = []
    for (let from = 0; from < data.length; from += listedAtOnce) {
      const some = data.slice(from, from + listedAtOnce).map(({ name }) => this.#listed(name))
      listed.push(...(await Promise.all(some)).flatMap((entry) => entry ?? []))
    }
    return listed
  }

  async close(): Promise<void> {
    await this.#connection.close()
  }

  /** The collection as it is by now: it may have been dropped, and even made anew, since it was opened here. */
  async #current(name: string): Promise<MilvusCollection | undefined> {
    const opened = await this.#opened.get(name)
    if (opened !== undefined) {
      const description = await this.#describe(name)
      if (description === undefined || !isSameVectors(opened.spec, description)) this.#opened.delete(name)
    }
    return this.#known(name)
  }

  /** One object per collection, however many ask for it at once; undefined while the server has none. */
  #known(name: string): Promise<MilvusCollection | undefined> {
    const opened = this.#opened.get(name)
    if (opened !== undefined) return opened
    const opening = this.#load(name)
    this.#opened.set(name, opening)
    const forget = () => {
      if (this.#opened.get(name) === opening) this.#opened.delete(name)
    }
    opening.then((collection) => collection ?? forget(), forget)
    return opening
  }

  async #load(name: string): Promise<MilvusCollection | undefined> {
    const description = await this.#describe(name)
    if (description === undefined) return undefined
    await this.#ready(name)
    return new MilvusCollection(this.#connection, name, description)
  }

  /** Whoever creates it first wins; the others find it, and are told if it is not what they wanted. */
  async #make(spec: CollectionSpec): Promise<MilvusCollection> {
    try {
      await this.#connection.call(`creating collection "${spec.name}"`, (client) =>
        client.createCollection({
          collection_name: milvusName(spec.name),
          fields: columns(this.#connection.sdk, spec.dimension),
          properties: newProperties(spec),
          consistency_level: 'Strong',
        }),
      )
    } catch (error) {
      if ((await this.#describe(spec.name)) === undefined) throw error
    }
    this.#opened.delete(spec.name)
    const made = await this.#known(spec.name)
    if (made !== undefined) return made
    throw new Fatal({
      code: 'collection_gone',
      message: `Collection "${spec.name}" was dropped from Milvus at ${this.#connection.where} while it was being opened.`,
    })
  }

  /** Throws `Fatal` (`not_a_collection`) for a collection that Millrace did not make. */
  async #describe(name: string): Promise<Description | undefined> {
    const answer = await this.#connection.call(`reading collection "${name}"`, async (client) => {
      const described = await client.describeCollection({ collection_name: milvusName(name) })
      const status = statusOf(described)
      return status !== undefined && isMissingCollection(status) ? undefined : described
    })
    if (answer === undefined) return undefined
    const description = readDescription(answer)
    if (description !== undefined && collectionName(answer) === name) return description
    throw new Fatal({
      code: 'not_a_collection',
      message: `The collection "${milvusName(name)}" in Milvus at ${this.#connection.where} was not made by Millrace. Use another collection name.`,
    })
  }

  /** Sees to the index and to the collection being loaded, also after whoever made it died half-way. */
  async #ready(name: string): Promise<void> {
    const collection_name = milvusName(name)
    const index = {
      collection_name,
      field_name: column.vector,
      index_name: column.vector,
      index_type: 'AUTOINDEX',
      metric_type: 'COSINE',
    }
    await this.#connection.call(`indexing collection "${name}"`, async (client) => {
      const existing = await client.describeIndex({ collection_name })
      if (succeeded(existing.status) && existing.index_descriptions.length > 0) return undefined
      const created = await client.createIndex(index)
      if (succeeded(created)) return created
      // Someone else may have been faster.
      const now = await client.describeIndex({ collection_name })
      return succeeded(now.status) && now.index_descriptions.length > 0 ? undefined : created
    })
    await loadCollection(this.#connection, name)
  }

  /** Undefined for a collection of someone else, or one that was dropped meanwhile. */
  async #listed(collection_name: string): Promise<{ spec: CollectionSpec; count: number } | undefined> {
    const name = await this.#connection.call('listing collections', async (client) => {
      const described = await client.describeCollection({ collection_name })
      const status = statusOf(described)
      return status !== undefined && succeeded(status) ? collectionName(described) : undefined
    })
    if (name === undefined || milvusName(name) !== collection_name) return undefined
    try {
      const collection = await this.#known(name)
      return collection && { spec: collection.spec, count: await collection.count() }
    } catch (error) {
      const code = errorCode(error)
      if (code === 'not_a_collection' || code === 'collection_gone') return undefined
      throw error
    }
  }
}
