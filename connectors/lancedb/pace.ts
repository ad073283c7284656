/** How much of its time a writer may be at work, and how much of that it can save up while there is nothing to do. */
const share = 1 / 20
const mostSavedMs = 250

/**
 * When to write. A small write costs about as much as one of hundreds of rows, and leaves a version and a file behind,
 * so one after the other would take the processor from everything else. The first writes after a quiet time go at once;
 * in a steady stream of them the writer rests between two, and they grow.
 */
export class Pace {
  readonly #longestRestMs: number
  #savedMs = mostSavedMs
  #at = performance.now()

  constructor(longestRestMs: number) {
    this.#longestRestMs = longestRestMs
  }

  /** Milliseconds until the next write may begin. */
  get restMs(): number {
    this.#save()
    return Math.min(this.#longestRestMs, Math.max(0, Math.ceil(-this.#savedMs / share)))
  }

  /** A write that has just ended took so long. */
  took(milliseconds: number): void {
    this.#save()
    this.#savedMs = Math.max(-this.#longestRestMs * share, this.#savedMs - milliseconds)
  }

  #save(): void {
    const now = performance.now()
    this.#savedMs = Math.min(mostSavedMs, this.#savedMs + (now - this.#at) * share)
    this.#at = now
  }
}
