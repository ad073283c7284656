/** How much of its time a writer may be at work, and how long it rests at most. */
interface Limits {
  readonly share: number
  readonly longestRestMs: number
}

/** Of a few events a second each is to be found soon. */
const trickle: Limits = { share: 1 / 8, longestRestMs: 150 }
/** When a log is worked off, as much as possible is left to whoever makes the rows. */
const flood: Limits = { share: 1 / 20, longestRestMs: 500 }
/** More rows a second are a flood. */
const mostOfTrickle = 75
/** How much time at work can be saved up while there is nothing to do. */
const mostSavedMs = 250

/**
 * When to write. A small write costs about as much as one of hundreds of rows, and leaves a version and a file behind,
 * so one after the other would take the processor from everything else. The first writes after a quiet time go at once;
 * in a steady stream of them the writer rests between two, and they grow.
 */
export class Pace {
  readonly #longestRestMs: number
  #savedMs = mostSavedMs
  /** Of about the last second. */
  #rows = 0
  #at = performance.now()

  /** `longestRestMs`: no rest is longer, whatever the stream. */
  constructor(longestRestMs: number) {
    this.#longestRestMs = longestRestMs
  }

  /** Milliseconds until the next write may begin. */
  get restMs(): number {
    this.#save()
    const { share, longestRestMs } = this.#limits
    return Math.min(longestRestMs, Math.max(0, Math.ceil(-this.#savedMs / share)))
  }

  /** A write of so many rows that has just ended took so long. */
  took(milliseconds: number, rows: number): void {
    this.#save()
    this.#rows += rows
    const { share, longestRestMs } = this.#limits
    this.#savedMs = Math.max(-longestRestMs * share, this.#savedMs - milliseconds)
  }

  get #limits(): Limits {
    const { share, longestRestMs } = this.#rows > mostOfTrickle ? flood : trickle
    return { share, longestRestMs: Math.min(this.#longestRestMs, longestRestMs) }
  }

  #save(): void {
    const now = performance.now()
    const elapsed = now - this.#at
    this.#savedMs = Math.min(mostSavedMs, this.#savedMs + elapsed * this.#limits.share)
    this.#rows *= Math.exp(-elapsed / 1_000)
    this.#at = now
  }
}
