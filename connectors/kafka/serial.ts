/** Runs one thing after the other, in the order of asking. */
export class Serial {
  #last: Promise<unknown> = Promise.resolve()
  #open = 0

  get busy(): boolean {
    return this.#open > 0
  }

  async run<T>(task: () => Promise<T>): Promise<T> {
    this.#open++
    const mine = this.#last.then(task)
    this.#last = mine.catch(() => undefined)
    try {
      return await mine
    } finally {
      this.#open--
    }
  }
}
