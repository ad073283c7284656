import type { QdrantClient } from '@qdrant/js-client-rest'
import { Fatal } from '../../src/core/errors.ts'
import { guarded } from '../../src/core/guarded-store.ts'
import {
  assertCollectionName,
  assertSameVectors,
  isCollectionName,
  isSameVectors,
} from '../../src/core/vector-rules.ts'
import type { Collection, CollectionSpec, VectorStore } from '../../src/core/vector-store.ts'
import { QdrantCollection } from './collection.ts'
import { statusOf, storeFailure } from './failure.ts'
import { fieldMetadata, indexOf, metadataOf, readCollection, type StoredCollection, wordsPath } from './payload.ts'
import { connect, type QdrantSettings } from './sdk.ts'

/**
 * Opens the collections of a Qdrant server or cluster, version 1.16 or newer. Any number of processes may use them at the
 * same time. Throws `Retryable` (`vectors_unavailable`) when it cannot be reached, `Fatal` (`vectors_refused`,
 * `qdrant_missing`).
 */
export async function openQdrant(settings: QdrantSettings): Promise<VectorStore> {
  const client = await connect(settings)
  await attempt('a first request', () => client.getCollections())
  return guarded(new QdrantStore(client))
}

class QdrantStore implements VectorStore {
  readonly #client: QdrantClient
  readonly #opened = new Map<string, QdrantCollection>()

  constructor(client: QdrantClient) {
    this.#client = client
  }

  async open(spec: CollectionSpec): Promise<Collection> {
    assertCollectionName(spec.name)
    const stored = (await this.#describe(spec.name)) ?? (await this.#create(spec))
    const collection = this.#collection(spec.name, stored)
    assertSameVectors(collection.spec, spec)
    const known = new Set(stored.types.map(([field]) => field))
    const added = spec.fields.filter((field) => !known.has(field))
    if (added.length > 0) {
      const metadata = fieldMetadata(added)
      await attempt(`opening collection "${spec.name}"`, () => this.#client.updateCollection(spec.name, { metadata }))
      collection.learn(added.map((field) => [field, null]))
    }
    if (!stored.hasWords) await this.#indexWords(spec.name)
    return collection
  }

  async find(name: string): Promise<Collection | undefined> {
    const stored = isCollectionName(name) ? await this.#describe(name, true) : undefined
    return stored === undefined ? undefined : this.#collection(name, stored)
  }

  async collections(): Promise<readonly { readonly spec: CollectionSpec; readonly count: number }[]> {
    const { collections } = await attempt('listing collections', () => this.#client.getCollections())
    const found = await Promise.all(collections.map(({ name }) => this.find(name)))
    const own = found.filter((collection) => collection !== undefined)
    return Promise.all(own.map(async (collection) => ({ spec: collection.spec, count: await collection.count() })))
  }

  async close(): Promise<void> {
    this.#opened.clear()
  }

  /** One for each collection, however often it is opened: it knows what the fields hold. */
  #collection(name: string, stored: StoredCollection): QdrantCollection {
    const known = this.#opened.get(name)
    if (known === undefined || !isSameVectors(known.spec, stored)) {
      const collection = new QdrantCollection(this.#client, name, stored)
      this.#opened.set(name, collection)
      return collection
    }
    known.learn(stored.types)
    return known
  }

  /** Undefined if it is not there; one that another program has made is `Fatal`, or undefined if `foreignToo`. */
  async #describe(name: string, foreignToo = false): Promise<StoredCollection | undefined> {
    let info: unknown
    try {
      info = await this.#client.getCollection(name)
    } catch (error) {
      if (statusOf(error) !== 404) throw storeFailure(`opening collection "${name}"`, error)
      // Whoever makes it anew may give its fields other types.
      this.#opened.delete(name)
      return undefined
    }
    const stored = readCollection(info)
    if (stored !== undefined || foreignToo) return stored
    throw new Fatal({
      code: 'not_a_collection',
      message: `The Qdrant collection "${name}" does not say that Millrace made it. Use another name, or, if it has just been made, a Qdrant of version 1.16 or newer, which keeps metadata.`,
    })
  }

  async #indexWords(name: string): Promise<void> {
    const index = { field_name: wordsPath, field_schema: indexOf.string, wait: true }
    await attempt(`opening collection "${name}"`, () => this.#client.createPayloadIndex(name, index))
  }

  async #create({ name, fingerprint, dimension, fields }: CollectionSpec): Promise<StoredCollection> {
    try {
      // `createCollection` of the client itself leaves the metadata out.
      await this.#client.api().createCollection({
        collection_name: name,
        vectors: { size: dimension, distance: 'Cosine' },
        metadata: metadataOf(fingerprint, fields),
      })
    } catch (error) {
      // Another process may have made it in between.
      const made = statusOf(error) === undefined ? undefined : await this.#describe(name)
      if (made !== undefined) return made
      throw storeFailure(`making collection "${name}"`, error)
    }
    const stored = await this.#describe(name)
    return stored ?? { fingerprint, dimension, types: fields.map((field) => [field, null]), hasWords: false }
  }
}

async function attempt<T>(doing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw storeFailure(doing, error)
  }
}
