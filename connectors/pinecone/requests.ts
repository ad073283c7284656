import type { Row } from './records.ts'

export interface Accepted {
  /** Into the points that were handed in. */
  readonly index: number
  readonly row: Row
}

const maximumRecords = 1_000
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
