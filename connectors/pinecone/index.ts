import { Fatal } from '../../src/core/errors.ts'
import { guarded } from '../../src/core/guarded-store.ts'
import { assertCollectionName, assertSameVectors, isCollectionName } from '../../src/core/vector-rules.ts'
import type { Collection, CollectionSpec, VectorStore } from '../../src/core/vector-store.ts'
import { Catalog, type Description } from './catalog.ts'
import { PineconeCollection } from './collection.ts'
import { Connection, type PineconeSettings } from './connection.ts'

export type { PineconeSettings } from './connection.ts'

const closeTimeoutMs = 5_000

/**
 * Binds vectors to one index of Pinecone, which is made with the first collection if it is not there; each collection is
 * a namespace in it, so all have the dimension of the index. Pinecone is asked when a collection is first opened: until it
 * can be reached, calls throw `Retryable` (`vectors_unavailable`). Throws `Fatal` (`pinecone_missing`).
 */
export async function openPinecone(settings: PineconeSettings): Promise<VectorStore> {
  return guarded(new PineconeStore(new Connection(settings)))
}

class PineconeStore implements VectorStore {
  readonly #connection: Connection
  readonly #opened = new Map<string, Promise<PineconeCollection | undefined>>()
  #catalog: Catalog | undefined

  constructor(connection: Connection) {
    this.#connection = connection
  }

  async open(spec: CollectionSpec): Promise<Collection> {
    assertCollectionName(spec.name)
    const collection = (await this.#known(spec.name)) ?? (await this.#make(spec))
    const remedy = `delete the namespace "${spec.name}" of the Pinecone index "${this.#connection.settings.index}", and its records in "_millrace", and replay the pipeline`
    assertSameVectors(collection.spec, spec, remedy)
    await collection.declare(spec.fields)
    return collection
  }

  async find(name: string): Promise<Collection | undefined> {
    return isCollectionName(name) ? this.#known(name) : undefined
  }

  async collections(): Promise<readonly { readonly spec: CollectionSpec; readonly count: number }[]> {
    const dimension = await this.#connection.dimension()
    if (dimension === undefined) return []
    const all = await this.#catalogOf(dimension).all()
    const listed: { spec: CollectionSpec; count: number }[] = []
    for (const [name, description] of all) {
      const collection = await this.#once(name, async () => this.#collection(dimension, name, description))
      if (collection !== undefined) listed.push({ spec: collection.spec, count: await collection.count() })
    }
    return listed
  }

  /** Gives what was written last some time to be found, so that whoever opens the store next finds it. */
  async close(): Promise<void> {
    const opened = await Promise.allSettled(this.#opened.values())
    await Promise.allSettled(
      opened.map((result) => (result.status === 'fulfilled' ? result.value?.settled(closeTimeoutMs) : undefined)),
    )
  }

  /** Undefined while Pinecone has no such collection. */
  #known(name: string): Promise<PineconeCollection | undefined> {
    return this.#once(name, async () => {
      const dimension = await this.#connection.dimension()
      if (dimension === undefined) return undefined
      const description = await this.#catalogOf(dimension).read(name)
      return description && this.#collection(dimension, name, description)
    })
  }

  /** One object per collection, however many ask for it at once: it knows what was written. */
  #once(name: string, load: () => Promise<PineconeCollection | undefined>): Promise<PineconeCollection | undefined> {
    const opened = this.#opened.get(name)
    if (opened !== undefined) return opened
    const opening = load()
    this.#opened.set(name, opening)
    const forget = () => {
      if (this.#opened.get(name) === opening) this.#opened.delete(name)
    }
    opening.then((collection) => collection ?? forget(), forget)
    return opening
  }

  /** Who creates it last wins if several do at once; the others are told if it is not what they wanted. */
  async #make(spec: CollectionSpec): Promise<PineconeCollection> {
    const { index } = this.#connection.settings
    const dimension = await this.#connection.ensure(spec.dimension)
    if (dimension !== spec.dimension) {
      throw new Fatal({
        code: 'index_unsuitable',
        message: `The Pinecone index "${index}" has vectors of ${dimension} numbers, and collection "${spec.name}" needs ${spec.dimension}.`,
        hint: 'All collections of an index have the same dimension: name another index with `vectors.pinecone.index`.',
      })
    }
    await this.#catalogOf(dimension).create(spec)
    const made = await this.#known(spec.name)
    if (made !== undefined) return made
    throw new Fatal({
      code: 'collection_gone',
      message: `Collection "${spec.name}" was removed from the Pinecone index "${index}" while it was being opened.`,
    })
  }

  #collection(dimension: number, name: string, description: Description): PineconeCollection {
    return new PineconeCollection(this.#connection, this.#catalogOf(dimension), name, description)
  }

  #catalogOf(dimension: number): Catalog {
    this.#catalog ??= new Catalog(this.#connection, dimension)
    return this.#catalog
  }
}
