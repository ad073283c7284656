import type { Match, WordQuery } from './vector-store.ts'

/**
 * The search for words in a store that can say which points have all of some words, and nothing of how rare they are.
 * `nearest`: the `k` of them that are nearest in meaning. It is asked for all words together and for each word alone, so
 * every point of a word that fewer than `k` have is found.
 */
export async function searchWordByWord(
  { words, k }: WordQuery,
  nearest: (words: readonly string[]) => Promise<readonly Match[]>,
): Promise<Match[]> {
  const asked = [...words.map((word) => [word]), ...(words.length > 1 ? [words] : [])]
  const answers = await Promise.all(asked.map(nearest))
  const rarity = new Map(words.map((word, index) => [word, 1 / Math.max(1, answers[index]?.length ?? 0)]))
  // What a point has is read from the answers it is in, for texts may be long.
  const found = new Map<string, { readonly match: Match; readonly words: Set<string> }>()
  for (const [index, matches] of answers.entries()) {
    for (const match of matches) {
      const known = found.get(match.id) ?? { match, words: new Set() }
      found.set(match.id, known)
      for (const word of asked[index] ?? []) known.words.add(word)
    }
  }
  const ranked = [...found.values()].map(({ match, words }) => {
    return { match, rank: [...words].reduce((sum, word) => sum + (rarity.get(word) ?? 0), 0) }
  })
  ranked.sort((left, right) => right.rank - left.rank || right.match.score - left.match.score)
  return ranked.slice(0, k).map(({ match }) => match)
}
