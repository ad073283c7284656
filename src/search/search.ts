import type { Filter } from '../core/filter.ts'
import type { Collection, Match } from '../core/vector-store.ts'

export interface SearchQuery {
  readonly vector: Float32Array
  readonly k: number
  readonly filter?: Filter | undefined
  /** Least score of a match. */
  readonly minScore?: number | undefined
  /** Also looks for the words of a text. `weight`: how much they count beside the meaning, from 0 to 1. */
  readonly words?: { readonly text: string; readonly weight: number } | undefined
  /**
   * Newer matches before older ones. `halfLife`: milliseconds after which the part of the score that fades is half as
   * much; `weight`: how large that part is, from 0 to 1.
   */
  readonly recency?: { readonly halfLife: number; readonly weight: number } | undefined
}

export interface SearchMatch extends Match {
  /** Cosine similarity, -1 to 1, whatever else is in the score. */
  readonly similarity: number
}

/** Searches a collection by meaning, and as the query wants it by words and age as well; the same in every store. */
export async function search(collection: Collection, query: SearchQuery): Promise<SearchMatch[]> {
  const { vector, k, filter, minScore } = query
  const matches = await collection.search({ vector, k, filter, minScore })
  return matches.map((match) => ({ ...match, similarity: match.score }))
}
