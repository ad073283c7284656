/** So many urgent things in a row may go before something that waits. */
export const mostOvertaking = 4

/** What waits for a thread: urgent things first, but what is not urgent does not wait for ever. */
export class Turns<T> {
  readonly #urgent: T[] = []
  readonly #others: T[] = []
  #overtaken = 0

  add(item: T, urgent: boolean): void {
    if (urgent) this.#urgent.push(item)
    else this.#others.push(item)
  }

  next(): T | undefined {
    if (this.#urgent.length === 0 || this.#overtaken === mostOvertaking) {
      this.#overtaken = 0
      return this.#others.shift()
    }
    if (this.#others.length > 0) this.#overtaken++
    return this.#urgent.shift()
  }
}
