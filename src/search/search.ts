import { setImmediate } from 'node:timers/promises'
import { InvalidInput } from '../core/errors.ts'
import type { Filter } from '../core/filter.ts'
import { assertQuery } from '../core/vector-rules.ts'
import type { Collection, Match } from '../core/vector-store.ts'
import { wordsOf, wordsOfFields } from '../core/words.ts'
import { bm25, countWords, type WordCounts } from './bm25.ts'
import { faded, type Recency } from './recency.ts'

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
  readonly recency?: Recency | undefined
}

export interface SearchMatch extends Match {
  /** Cosine similarity, -1 to 1, whatever else is in the score. */
  readonly similarity: number
  /** How well the words fit, 0 to 1, where words were looked for. */
  readonly words?: number | undefined
}

/**
 * Chosen by the quality test: with more, texts that say the same in other words begin to lose their places to such that
 * share a common word with the query; with less, codes and names count for less than they could.
 */
export const defaultWordsWeight = 0.3
export const defaultRecencyWeight = 0.3

/** A query's words beyond these are left aside: it is the rare ones that matter, which have digits or are long. */
const mostWords = 16
/** So many of the nearest are looked at for each match that is wanted, at least and at most, before age is asked for. */
const candidatesPerMatch = 4
const fewestCandidates = 100
const usualCandidates = 1_000
/** Newer matches are looked for among so many of the nearest. */
const mostCandidates = 2_000
/** Milliseconds of counting words between two turns of the event loop. */
const turnMs = 5

/** What a search needs of a collection. */
export type Searched = Pick<Collection, 'spec' | 'search' | 'searchWords'>

/**
 * Searches a collection by meaning, and as the query wants it by words and age as well; the same in every store.
 *
 * With words, a match's score is `(1 - weight) * similarity + weight * words`: the convex combination, which keeps more of
 * what the two say than their ranks do (S. Bruch, S. Gai, A. Ingber: An Analysis of Fusion Functions for Hybrid Retrieval,
 * 2023). A store without `searchWords` has them only order what is near in meaning. Throws `InvalidInput` (`bad_query`,
 * `bad_vector`) and what the store throws.
 */
export async function search(
  collection: Searched,
  query: SearchQuery,
  now: () => number = Date.now,
): Promise<SearchMatch[]> {
  assertWeights(query)
  const { vector, k, filter, minScore } = query
  const terms = query.words === undefined ? [] : termsOf(query.words.text)
  if (terms.length === 0 && query.recency === undefined) {
    const matches = await collection.search({ vector, k, filter, minScore })
    return matches.map((match) => ({ ...match, similarity: match.score }))
  }
  assertQuery(query, collection.spec.dimension)
  const time = now()
  const most = Math.max(k, mostCandidates)
  for (let wanted = firstCandidates(k); ; wanted = Math.min(2 * wanted, most)) {
    const { candidates, bound } = await collect(collection, query, terms, wanted)
    const matches = await rank(candidates, query, terms, time)
    const last = matches[k - 1]?.score ?? Number.NEGATIVE_INFINITY
    const isSettled = bound === undefined || bound <= last || bound < (minScore ?? Number.NEGATIVE_INFINITY)
    if (isSettled || wanted >= most) return matches.slice(0, k)
  }
}

function assertWeights({ words, recency }: SearchQuery): void {
  for (const [name, weight] of Object.entries({ words: words?.weight ?? 0, recency: recency?.weight ?? 0 })) {
    if (weight >= 0 && weight <= 1) continue
    throw new InvalidInput({
      code: 'bad_query',
      message: `The weight of ${name} is ${weight}; it must be from 0 to 1.`,
    })
  }
  if (recency === undefined || (recency.halfLife > 0 && Number.isFinite(recency.halfLife))) return
  throw new InvalidInput({
    code: 'bad_query',
    message: `The half-life is ${recency.halfLife} ms; it must be longer than nothing.`,
  })
}

function termsOf(text: string): string[] {
  const terms = [...new Set(wordsOf(text))]
  if (terms.length <= mostWords) return terms
  const worth = (term: string) => term.length + (/\p{N}/u.test(term) ? mostWords : 0)
  return terms.sort((left, right) => worth(right) - worth(left)).slice(0, mostWords)
}

function firstCandidates(k: number): number {
  return Math.max(k, Math.min(usualCandidates, Math.max(fewestCandidates, candidatesPerMatch * k)))
}

interface Candidates {
  readonly candidates: readonly Match[]
  /** No point that was left out can have a higher score; undefined when none was left out. */
  readonly bound: number | undefined
}

/** What is near in meaning, and what has some of the words. */
async function collect(
  collection: Searched,
  { vector, filter, minScore, words }: SearchQuery,
  terms: readonly string[],
  wanted: number,
): Promise<Candidates> {
  const hasWords = terms.length > 0
  const [near, having = []] = await Promise.all([
    // Age only takes off, so what is below the least score by meaning alone stays there.
    collection.search({ vector, k: wanted, filter, ...(hasWords ? {} : { minScore }) }),
    hasWords ? collection.searchWords?.({ words: terms, vector, k: wanted, filter }) : undefined,
  ])
  const candidates = [...new Map([...having, ...near].map((match) => [match.id, match])).values()]
  const farthest = near.length < wanted ? undefined : near.at(-1)?.score
  if (farthest === undefined || !hasWords) return { candidates, bound: farthest }
  return { candidates, bound: (1 - (words?.weight ?? 0)) * farthest }
}

/** With their scores, best first, those above the least score. */
async function rank(
  candidates: readonly Match[],
  { words: wanted, recency, minScore = Number.NEGATIVE_INFINITY }: SearchQuery,
  terms: readonly string[],
  now: number,
): Promise<SearchMatch[]> {
  const weight = wanted?.weight ?? 0
  const words = terms.length > 0 ? bm25(await countAll(candidates, terms)) : undefined
  return candidates
    .map((match, index): SearchMatch => {
      const similarity = match.score
      const fit = words?.[index]
      const fused = fit === undefined ? similarity : (1 - weight) * similarity + weight * fit
      const score = recency === undefined ? fused : faded(fused, match.timestamp, now, recency)
      return { ...match, score, similarity, ...(fit === undefined ? {} : { words: fit }) }
    })
    .filter(({ score }) => score >= minScore)
    .sort((left, right) => right.score - left.score || (left.id < right.id ? -1 : 1))
}

/** Lets others have their turn in between: many candidates with long texts take a while. */
async function countAll(candidates: readonly Match[], terms: readonly string[]): Promise<WordCounts[]> {
  const counted: WordCounts[] = []
  let since = performance.now()
  for (const { fields } of candidates) {
    counted.push(countWords(terms, wordsOfFields(fields)))
    if (performance.now() - since < turnMs) continue
    await setImmediate()
    since = performance.now()
  }
  return counted
}
