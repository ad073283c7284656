/** Lets so many pieces of work go on at the same time; the others wait in their order. */
export class Gate {
  #free: number
  #closed = false
  readonly #waiting: (() => void)[] = []

  constructor(places: number) {
    this.#free = places
  }

  /** Undefined, and nothing is done, once the gate is closed. */
  async pass<T>(work: () => Promise<T>): Promise<T | undefined> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return this.#closed ? undefined : await work()
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#free++
    }
  }

  /** What waits is not done any more. */
  close(): void {
    this.#closed = true
  }
}
