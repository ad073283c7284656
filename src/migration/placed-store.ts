import { errorCode, Fatal, type Rejection, Retryable } from '../core/errors.ts'
import type { Collection, CollectionSpec, Match, VectorPoint, VectorQuery, VectorStore } from '../core/vector-store.ts'
import type { Place, Places } from './places.ts'

/** How long a writer waits before it asks again whether a move has ended. */
const holdDelayMs = 200

/** A store in which a collection is found where it has been moved to, under its own name. */
export function placedStore(store: VectorStore, places: Places): VectorStore {
  return {
    async open(spec) {
      const collection = new PlacedCollection(store, places, spec.name, spec)
      await collection.locate()
      return collection
    },
    async find(name) {
      const collection = new PlacedCollection(store, places, name)
      return (await collection.isThere()) ? collection : undefined
    },
    async collections() {
      const [all, moved] = [await store.collections(), await knownPlaces(places)]
      const names = new Map([...moved].map(([name, { current }]) => [current, name]))
      const hidden = new Set(
        [...moved].flatMap(([name, { current, next }]) => (current === name ? [next?.name] : [name])),
      )
      return all.flatMap(({ spec, count }) => {
        const name = names.get(spec.name)
        if (name !== undefined) return [{ spec: { ...spec, name }, count }]
        return hidden.has(spec.name) ? [] : [{ spec, count }]
      })
    },
    close: () => store.close(),
  }
}

/** Reading goes on where it went last, also while the event log cannot be asked. */
async function knownPlaces(places: Places): Promise<ReadonlyMap<string, Place>> {
  return places.all().catch(() => new Map())
}

class PlacedCollection implements Collection {
  readonly #store: VectorStore
  readonly #places: Places
  readonly #name: string
  /** What is written; undefined for one that was only looked for. */
  readonly #wanted: CollectionSpec | undefined
  #located: { readonly place: string; readonly collection: Collection } | undefined

  constructor(store: VectorStore, places: Places, name: string, wanted?: CollectionSpec | undefined) {
    this.#store = store
    this.#places = places
    this.#name = name
    this.#wanted = wanted
  }

  get spec(): CollectionSpec {
    const spec = this.#located?.collection.spec ?? this.#wanted
    if (spec === undefined) throw gone(this.#name)
    return { ...spec, name: this.#name }
  }

  async isThere(): Promise<boolean> {
    return (await this.#find(await this.#currentPlace())) !== undefined
  }

  async upsert(points: readonly VectorPoint[]): Promise<Rejection[]> {
    return (await this.locate()).upsert(points)
  }

  async delete(ids: readonly string[]): Promise<void> {
    return (await this.locate()).delete(ids)
  }

  async search(query: VectorQuery): Promise<Match[]> {
    return (await this.#forReading()).search(query)
  }

  /** There if the store has it, wherever the collection lies. */
  get searchWords(): Collection['searchWords'] {
    if (this.#located?.collection.searchWords === undefined) return undefined
    return async (query) => (await (await this.#forReading()).searchWords?.(query)) ?? []
  }

  async count(): Promise<number> {
    return (await this.#forReading()).count()
  }

  /** The collection to write to, as of now. Throws `Retryable` (`collection_moving`) for the moment in which it is moved. */
  async locate(): Promise<Collection> {
    const { current = this.#name, heldUntil = 0 } = (await this.#places.get(this.#name)) ?? {}
    if (heldUntil > Date.now()) {
      throw new Retryable({
        code: 'collection_moving',
        message: `Collection "${this.#name}" is being moved to new vectors; writing goes on in a moment.`,
        delayMs: holdDelayMs,
      })
    }
    const wanted = this.#wanted
    if (wanted === undefined) return this.#forReading()
    if (this.#located?.place === current) return this.#located.collection
    const collection = await this.#store.open({ ...wanted, name: current }).catch((error: unknown) => {
      throw errorCode(error) === 'fingerprint_mismatch' && current !== this.#name ? moved(this.#name, error) : error
    })
    this.#located = { place: current, collection }
    return collection
  }

  async #forReading(): Promise<Collection> {
    const collection = await this.#find(await this.#currentPlace())
    if (collection === undefined) throw gone(this.#name)
    return collection
  }

  async #currentPlace(): Promise<string> {
    const known = this.#located?.place ?? this.#name
    return this.#places.get(this.#name).then(
      (place) => place?.current ?? this.#name,
      () => known,
    )
  }

  async #find(place: string): Promise<Collection | undefined> {
    if (this.#located?.place === place) return this.#located.collection
    const collection = await this.#store.find(place)
    // One that writes opens it itself, which is what checks its model.
    if (collection !== undefined && this.#wanted === undefined) this.#located = { place, collection }
    return collection
  }
}

function moved(name: string, cause: unknown): Fatal {
  return new Fatal({
    code: 'fingerprint_mismatch',
    message: `Collection "${name}" has been moved to vectors of another model than this process has.`,
    hint: 'Set embedder.model to the model that it was moved to, and start again. Nothing is lost: the pipeline goes on where it stopped.',
    cause,
  })
}

function gone(name: string): Retryable {
  return new Retryable({ code: 'vectors_unavailable', message: `Collection "${name}" is not where it was.` })
}
