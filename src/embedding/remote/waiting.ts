import type { Purpose } from '../../core/embedder.ts'
import type { Work } from '../backend.ts'

/** A text that waits for its request. */
export interface Waiting {
  readonly work: Work
  readonly purpose: Purpose
  /** Estimated. */
  readonly tokens: number
}

/** The texts of one priority that wait, oldest first. */
export class WaitingTexts {
  readonly #texts = new Map<Work, Waiting>()
  #tokens = 0

  get size(): number {
    return this.#texts.size
  }

  get tokens(): number {
    return this.#tokens
  }

  add(waiting: Waiting): void {
    this.#texts.set(waiting.work, waiting)
    this.#tokens += waiting.tokens
  }

  /** Takes a text out; undefined if it does not wait here. */
  remove(work: Work): Waiting | undefined {
    const waiting = this.#texts.get(work)
    if (waiting === undefined) return undefined
    this.#texts.delete(work)
    this.#tokens -= waiting.tokens
    return waiting
  }

  /**
   * Takes the oldest texts out for one request: of one purpose, no more than `texts`, and no more than `tokens` unless
   * the first alone has more. Those that nobody waits for any more are dropped on the way. Empty if none is left.
   */
  take(texts: number, tokens: number): Waiting[] {
    const batch: Waiting[] = []
    let sum = 0
    for (const waiting of this.#texts.values()) {
      if (batch.length === texts) break
      if (!waiting.work.wanted()) {
        this.remove(waiting.work)
        waiting.work.dropped()
        continue
      }
      const [first] = batch
      if (first !== undefined && (first.purpose !== waiting.purpose || sum + waiting.tokens > tokens)) break
      this.remove(waiting.work)
      batch.push(waiting)
      sum += waiting.tokens
    }
    return batch
  }

  drain(): Waiting[] {
    const all = [...this.#texts.values()]
    this.#texts.clear()
    this.#tokens = 0
    return all
  }
}
