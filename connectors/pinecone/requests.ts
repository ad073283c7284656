import { allDone, type Indexed, requests } from '../../src/core/vector-writes.ts'
import type { Row } from './records.ts'

export interface Accepted extends Indexed {
  readonly row: Row
}

/** Requests of one call that are on their way at once. */
const requestsAtOnce = 4
/** Ids of one fetch, which stand in its address. */
const fetchedAtOnce = 50
const fetchedBytes = 6_000
/** What one request may hold: of the 2 MB that Pinecone takes, with room for what is around the records. */
export const requestLimits = {
  items: 1_000,
  size: 1_900_000,
  sizeOf: ({ row }: Accepted) => Buffer.byteLength(JSON.stringify(row)) + 1,
}

/** Does the work on each, a few at a time, and answers in order. */
export async function inParallel<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = []
  for (const some of chunks(items, requestsAtOnce)) results.push(...(await allDone(some.map(work))))
  return results
}

export function chunks<Item>(items: readonly Item[], size: number): Item[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, n) => items.slice(n * size, (n + 1) * size))
}

/** Cuts ids into fetches whose addresses servers take. */
export function addressable(ids: readonly string[]): string[][] {
  const sizeOf = (id: string) => encodeURIComponent(id).length + '&ids='.length
  return requests(ids, { items: fetchedAtOnce, size: fetchedBytes, sizeOf })
}
