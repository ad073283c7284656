import type { Work } from '../backend.ts'

/** A text on its way to its vector. */
export interface QueuedText {
  readonly work: Work
  /** Tokens, roughly: enough to put texts of like length together. */
  readonly estimate: number
  /** Attempts that ended the thread or failed. */
  failures: number
}

/** Only so many of the oldest texts are looked at for ones of like length. */
const windowSize = 256
const charactersPerToken = 4

export function estimateTokens(text: string, maxTokens: number): number {
  return Math.min(maxTokens, Math.ceil(text.length / charactersPerToken) + 2)
}

/** Waiting texts of one priority. Cuts batches that start with the oldest and hold texts of near its length. */
export class TextQueue {
  readonly #waiting = new Set<QueuedText>()
  readonly #again: QueuedText[] = []
  #tokens = 0

  get size(): number {
    return this.#waiting.size + this.#again.length
  }

  /** Estimated tokens of all waiting texts. */
  get tokens(): number {
    return this.#tokens
  }

  add(entry: QueuedText): void {
    this.#waiting.add(entry)
    this.#tokens += entry.estimate
  }

  /** Puts a text back after a failed attempt: it goes first, and alone, so that it can only harm itself. */
  addAgain(entry: QueuedText): void {
    this.#again.push(entry)
    this.#tokens += entry.estimate
  }

  /** Takes a text out, for it to be queued elsewhere. */
  remove(entry: QueuedText): boolean {
    if (!this.#waiting.delete(entry)) return false
    this.#tokens -= entry.estimate
    return true
  }

  /** The next batch, of at most `budget` padded tokens but at least one text; empty when nothing waits. */
  take(budget: number): QueuedText[] {
    const again = this.#again.shift()
    if (again !== undefined) {
      this.#tokens -= again.estimate
      return [again]
    }
    const batch = this.#nearOldest(budget)
    for (const entry of batch) this.remove(entry)
    return batch
  }

  #nearOldest(budget: number): QueuedText[] {
    const window = this.#oldest()
    const oldest = window[0]
    if (oldest === undefined) return []
    window.sort((a, b) => a.estimate - b.estimate)
    let low = window.indexOf(oldest)
    let high = low
    const longestOf = () => window[high]?.estimate ?? 0
    const slack = oldest.estimate / 4 + 4
    for (;;) {
      const below = oldest.estimate - (window[low - 1]?.estimate ?? Number.NEGATIVE_INFINITY)
      const above = (window[high + 1]?.estimate ?? Number.POSITIVE_INFINITY) - oldest.estimate
      if (Math.min(below, above) > slack) break
      const longest = above < below ? oldest.estimate + above : longestOf()
      if ((high - low + 2) * longest > budget) break
      if (above < below) high++
      else low--
    }
    return window.slice(low, high + 1)
  }

  #oldest(): QueuedText[] {
    const window: QueuedText[] = []
    for (const entry of this.#waiting) {
      window.push(entry)
      if (window.length === windowSize) break
    }
    return window
  }

  /** Everything that waits, taken out. */
  drain(): QueuedText[] {
    const all = [...this.#again, ...this.#waiting]
    this.#again.length = 0
    this.#waiting.clear()
    this.#tokens = 0
    return all
  }
}
