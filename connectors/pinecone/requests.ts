import type { Row } from './records.ts'

export interface Accepted {
  /** Into the points that were handed in. */
  readonly index: number
  readonly row: Row
}

const maximumRecords = 1_000
/** Requests of one call that are on their way at once. */
const requestsAtOnce = 4
/** Ids of one fetch, which stand in its address. */
const fetchedAtOnce = 50
const fetchedBytes = 6_000
/** Of the 2 MB that Pinecone takes, with room for what is around the records. */
const maximumBytes = 1_900_000

/** Cuts records into requests that Pinecone takes. */
export function requests(accepted: readonly Accepted[]): Accepted[][] {
  const parts: Accepted[][] = []
  let bytes = Number.POSITIVE_INFINITY
  for (const each of accepted) {
    const size = Buffer.byteLength(JSON.stringify(each.row)) + 1
    const part = parts.at(-1)
    if (part === undefined || bytes + size > maximumBytes || part.length >= maximumRecords) {
      parts.push([each])
      bytes = size
    } else {
      part.push(each)
      bytes += size
    }
  }
  return parts
}

/** Does the work on each, a few at a time, and answers in order. */
export async function inParallel<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = []
  for (const some of chunks(items, requestsAtOnce)) results.push(...(await Promise.all(some.map(work))))
  return results
}

export function chunks<Item>(items: readonly Item[], size: number): Item[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, n) => items.slice(n * size, (n + 1) * size))
}

/** Cuts ids into fetches whose addresses servers take. */
export function addressable(ids: readonly string[]): string[][] {
  const parts: string[][] = []
  let bytes = Number.POSITIVE_INFINITY
  for (const id of ids) {
    const size = encodeURIComponent(id).length + '&ids='.length
    const part = parts.at(-1)
    if (part === undefined || bytes + size > fetchedBytes || part.length >= fetchedAtOnce) {
      parts.push([id])
      bytes = size
    } else {
      part.push(id)
      bytes += size
    }
  }
  return parts
}
