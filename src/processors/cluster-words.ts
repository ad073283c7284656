import { wordsOf } from '../core/words.ts'
import { stopWords } from './stop-words.ts'

/** In how many events of a cluster each word stood, the word that was met last at the end. */
export type WordCounts = Map<string, number>

/** Words that are counted for each cluster. */
export const mostWords = 64
const longestWord = 32
/** In UTF-16 units. What a text is about shows early, and embedding models read no further either. */
const readPart = 4_000
const wordsInName = 3
/** From this length on, a word that another one begins with is taken for another form of it. */
const leastStem = 4

/** The words of a text that could name what it is about, each once, in order. */
export function tellingWords(text: string): string[] {
  const words = wordsOf(text.slice(0, readPart)).filter(
    (word) => word.length > 1 && word.length <= longestWord && !stopWords.has(word) && /\p{L}/u.test(word),
  )
  return [...new Set(words)].slice(0, mostWords)
}

/**
 * The words of all clusters of a lane. What names a cluster is frequent in it and rare in the others, as class-based TF-IDF
 * has it (Grootendorst, "BERTopic", 2022): f(word, cluster) · log(1 + A / f(word)), where A is how many words a cluster has
 * on average.
 *
 * Counts are whole numbers, so that sums do not depend on the order in which they were made.
 */
export class Vocabulary {
  readonly #totals = new Map<string, number>()
  #sum = 0
  #clusters = 0

  /** Takes in a cluster with what it has counted. */
  add(counts: WordCounts): void {
    this.#clusters++
    for (const [word, count] of counts) this.#change(word, count)
  }

  remove(counts: WordCounts): void {
    this.#clusters--
    for (const [word, count] of counts) this.#change(word, -count)
  }

  /** Counts the words of one more event. Above the bound the rarest go, of equally rare ones those not met for longest. */
  count(counts: WordCounts, words: readonly string[]): void {
    for (const word of words) {
      const count = counts.get(word) ?? 0
      counts.delete(word)
      counts.set(word, count + 1)
      this.#change(word, 1)
    }
    for (let least = 1; counts.size > mostWords; least++) {
      for (const [word, count] of counts) {
        if (counts.size === mostWords) break
        if (count > least) continue
        counts.delete(word)
        this.#change(word, -count)
      }
    }
  }

  /** Halves every count, so that what was frequent long ago gives way to what is frequent now. */
  fade(counts: WordCounts): void {
    for (const [word, count] of counts) {
      const rest = Math.floor(count / 2)
      if (rest > 0) counts.set(word, rest)
      else counts.delete(word)
      this.#change(word, rest - count)
    }
  }

  /** The most typical words of a cluster. Of equally typical ones, the one that was met earlier. */
  name(counts: WordCounts): string {
    const average = this.#sum / Math.max(1, this.#clusters)
    const weights = new Map<string, number>()
    for (const [word, count] of counts) {
      weights.set(word, count * Math.log(1 + average / (this.#totals.get(word) ?? count)))
    }
    const name: string[] = []
    while (name.length < wordsInName && weights.size > 0) {
      let best = ''
      let most = -1
      for (const [word, weight] of weights) if (weight > most) [best, most] = [word, weight]
      weights.delete(best)
      if (!name.some((before) => isOtherForm(before, best))) name.push(best)
    }
    return name.join(', ')
  }

  #change(word: string, by: number): void {
    const total = (this.#totals.get(word) ?? 0) + by
    if (total > 0) this.#totals.set(word, total)
    else this.#totals.delete(word)
    this.#sum += by
  }
}

function isOtherForm(one: string, other: string): boolean {
  const [short, long] = one.length < other.length ? [one, other] : [other, one]
  return short.length >= leastStem && long.startsWith(short)
}
