import type { Match, WordQuery } from './vector-store.ts'
import { wordsOfFields } from './words.ts'

/**
 * The search for words in a store that can say which points have all of some words, and nothing of how rare they are.
 * `nearest`: the `k` of them that are nearest in meaning. It is asked for all words together and for each word alone, so
 * every point of a word that fewer than `k` have is found.
 */
export async function searchWordByWord(
  { words, k }: WordQuery,
  nearest: (words: readonly string[]) => Promise<readonly Match[]>,
): Promise<Match[]> {
  const alone = words.map((word) => nearest([word]))
  const lists = await Promise.all([...alone, words.length > 1 ? nearest(words) : []])
  const rarity = new Map(words.map((word, index) => [word, 1 / Math.max(1, lists[index]?.length ?? 0)]))
  const found = new Map(lists.flat().map((match) => [match.id, match]))
  const ranked = [...found.values()].map((match) => {
    const own = new Set(wordsOfFields(match.fields))
    return { match, rank: words.reduce((sum, word) => sum + (own.has(word) ? (rarity.get(word) ?? 0) : 0), 0) }
  })
  ranked.sort((left, right) => right.rank - left.rank || right.match.score - left.match.score)
  return ranked.slice(0, k).map(({ match }) => match)
}
