import { Fatal } from './errors.ts'
import { scaled, storedValue, wellFormed } from './vector-rules.ts'
import type { Collection, StoredPoint, VectorPoint, VectorStore } from './vector-store.ts'

/**
 * What every store does alike, around one that does the rest. `close` waits for the calls under way, however often it is
 * called, and any later call throws `Fatal` (`vector_store_closed`). All texts of the points that the inner store is given are
 * well-formed, and all vectors of a length that 32-bit floats can compute with.
 */
export function guarded(store: VectorStore): VectorStore {
  const underWay = new Set<Promise<unknown>>()
  let closing: Promise<void> | undefined

  async function call<T>(work: () => Promise<T>): Promise<T> {
    if (closing !== undefined) throw new Fatal({ code: 'vector_store_closed', message: 'The vector store is closed.' })
    const done = work()
    underWay.add(done)
    try {
      return await done
    } finally {
      underWay.delete(done)
    }
  }

  function guard(collection: Collection): Collection {
    const scan = collection.scan?.bind(collection)
    const searchWords = collection.searchWords?.bind(collection)
    return {
      get spec() {
        return collection.spec
      },
      upsert: (points) => call(() => collection.upsert(points.map(cleanPoint))),
      delete: (ids) => call(() => collection.delete(ids.map(wellFormed))),
      search: (query) => call(() => collection.search({ ...query, vector: scaled(query.vector) })),
      ...(searchWords === undefined
        ? {}
        : { searchWords: (query) => call(() => searchWords({ ...query, vector: scaled(query.vector) })) }),
      count: () => call(() => collection.count()),
      ...(scan === undefined ? {} : { scan: () => pages(scan()) }),
    }
  }

  async function* pages(all: AsyncIterable<readonly StoredPoint[]>): AsyncIterable<readonly StoredPoint[]> {
    const iterator = all[Symbol.asyncIterator]()
    try {
      for (;;) {
        const page = await call(() => iterator.next())
        if (page.done) return
        yield page.value
      }
    } finally {
      await iterator.return?.()
    }
  }

  async function close(): Promise<void> {
    await Promise.allSettled(underWay)
    await store.close()
  }

  return {
    open: (spec) => call(async () => guard(await store.open(spec))),
    find: (name) =>
      call(async () => {
        const collection = await store.find(name)
        return collection && guard(collection)
      }),
    collections: () => call(() => store.collections()),
    close: () => {
      closing ??= close()
      return closing
    },
  }
}

function cleanPoint({ id, vector, fields, timestamp, position }: VectorPoint): VectorPoint {
  const texts = Object.entries(fields).map(([name, value]) => [wellFormed(name), storedValue(value)] as const)
  const topic = wellFormed(position.topic)
  return {
    id: wellFormed(id),
    vector: scaled(vector),
    fields: Object.fromEntries(texts),
    timestamp,
    position: { ...position, topic },
  }
}
