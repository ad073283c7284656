import type { Text } from './text.ts'

/**
 * What one run of the model costs whatever is in it, in tokens: a row may be padded by that much in place of a run of its own.
 */
const runCost = 12

/** Tokenized texts of one priority. Cuts batches that begin with the oldest and hold texts of equal or near length. */
export class TextQueue {
  /** By age: a text that was added before stands before. */
  readonly #waiting = new Set<Text>()
  /** The same by number of tokens, and in each by age. */
  readonly #byLength = new Map<number, Set<Text>>()
  readonly #again: Text[] = []
  #tokens = 0

  get size(): number {
    return this.#waiting.size + this.#again.length
  }

  /** Of all texts that wait. */
  get tokens(): number {
    return this.#tokens
  }

  add(text: Text): void {
    const { length } = text.ids
    this.#waiting.add(text)
    const alike = this.#byLength.get(length)
    if (alike === undefined) this.#byLength.set(length, new Set([text]))
    else alike.add(text)
    this.#tokens += length
  }

  /** Puts back a text of a batch that was not finished: it goes first, and alone, so that it can only harm itself. */
  addAgain(text: Text): void {
    this.#again.push(text)
    this.#tokens += text.ids.length
  }

  /** Takes a text out, for it to be queued elsewhere. */
  remove(text: Text): boolean {
    if (!this.#waiting.delete(text)) return false
    const { length } = text.ids
    const alike = this.#byLength.get(length)
    alike?.delete(text)
    if (alike?.size === 0) this.#byLength.delete(length)
    this.#tokens -= length
    return true
  }

  /** The next batch, of at most `budget` padded tokens but at least one text; empty when nothing waits. */
  take(budget: number): Text[] {
    const again = this.#again.shift()
    if (again !== undefined) {
      this.#tokens -= again.ids.length
      return [again]
    }
    const batch = this.#aroundOldest(budget)
    for (const text of batch) this.remove(text)
    return batch
  }

  /**
   * Texts as long as the oldest one, and where these do not fill the batch, ones of the nearest length: but only as long as
   * the padding costs less than another run of the model would.
   */
  #aroundOldest(budget: number): Text[] {
    const oldest = this.#waiting.values().next()
    if (oldest.done === true) return []
    const middle = oldest.value.ids.length
    const batch: Text[] = []
    let longest = middle
    const take = (length: number): void => {
      const room = Math.floor(budget / Math.max(longest, length)) - batch.length
      const alike = this.#byLength.get(length)
      if (alike === undefined || room <= 0) return
      longest = Math.max(longest, length)
      for (const text of firstOf(alike, room)) batch.push(text)
    }
    for (const text of firstOf(this.#byLength.get(middle) ?? [], Math.max(1, Math.floor(budget / middle))))
      batch.push(text)
    for (let distance = 1; distance <= runCost; distance++) {
      // The shorter ones pad themselves alone, the longer ones all that is there.
      if (batch.length * longest > budget / 2) break
      take(middle - distance)
      if (batch.length * distance <= runCost) take(middle + distance)
    }
    return batch
  }
}

function* firstOf<T>(items: Iterable<T>, count: number): Generator<T> {
  let taken = 0
  if (count <= 0) return
  for (const item of items) {
    yield item
    taken++
    if (taken === count) return
  }
}
