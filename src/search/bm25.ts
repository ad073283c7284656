/** How fast further occurrences of a word count for less, and how much a long document's count for less (Robertson & Zaragoza). */
const k1 = 1.2
const b = 0.75

/** What BM25 sees of a document. */
export interface WordCounts {
  /** How many words it has. */
  readonly length: number
  /** How often it has each word of the query, by index. */
  readonly counts: readonly number[]
}

export function countWords(terms: readonly string[], words: readonly string[]): WordCounts {
  const counts = terms.map(() => 0)
  const indexes = new Map(terms.map((term, index) => [term, index]))
  for (const word of words) {
    const index = indexes.get(word)
    if (index !== undefined) counts[index] = (counts[index] ?? 0) + 1
  }
  return { length: words.length, counts }
}

/**
 * BM25 of each document, with the frequencies of words among these documents, as a part of what all of the query's words
 * come to: 1 for a document of no more than mean length that has every word, 0 for one that has none. A word that none of
 * the documents has takes part as the rarest one, so that nothing is taken for a good match that lacks the main word.
 *
 * S. Robertson, H. Zaragoza: The Probabilistic Relevance Framework: BM25 and Beyond (2009).
 */
export function bm25(documents: readonly WordCounts[]): number[] {
  const terms = documents[0]?.counts.length ?? 0
  const total = documents.reduce((sum, { length }) => sum + length, 0)
  const mean = Math.max(1, total / Math.max(1, documents.length))
  const weights = Array.from({ length: terms }, (_, term) => {
    const having = documents.filter(({ counts }) => (counts[term] ?? 0) > 0).length
    return Math.log(1 + (documents.length - having + 0.5) / (having + 0.5))
  })
  const all = weights.reduce((sum, weight) => sum + weight, 0)
  return documents.map(({ length, counts }) => {
    const damping = k1 * (1 - b + (b * length) / mean)
    // 1 for a word that stands once in a document of mean length; more occurrences do not stand in for another word.
    const fits = counts.map((count) => Math.min(1, ((k1 + 1) * count) / (count + damping)))
    const sum = fits.reduce((sum, fit, term) => sum + (weights[term] ?? 0) * fit, 0)
    return all > 0 ? Math.min(1, sum / all) : 0
  })
}
