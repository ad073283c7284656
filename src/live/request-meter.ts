import type { LiveLimits } from './limits.ts'
import { RateLimit } from './rate-limit.ts'

/** What a client asks of the server, in all: how much at once, how often, and how much of it is nonsense. */
export class RequestMeter {
  readonly #limits: LiveLimits
  readonly #rate: RateLimit
  #requests = 0
  #characters = 0
  #badFrames = 0
  #lastAt = performance.now()

  constructor(limits: LiveLimits) {
    this.#limits = limits
    this.#rate = new RateLimit(limits.requestsPerSecond)
  }

  /** As much is being answered as may be at the same time: nothing more should be read. */
  get busy(): boolean {
    return this.#requests >= this.#limits.requests || this.#characters >= this.#limits.requestCharacters
  }

  /** Milliseconds since a request was last being answered. */
  get quietMs(): number {
    return this.#requests > 0 ? 0 : performance.now() - this.#lastAt
  }

  /**
   * Counts one request. Refused ones count as well: whoever goes on regardless gets ever further beyond its rate, and
   * is to be closed once it is another two seconds' worth ahead.
   */
  admit(): 'admitted' | 'refused' | 'excessive' {
    const allowance = this.#rate.allowance
    this.#rate.take(1)
    if (allowance >= 1) return 'admitted'
    return allowance > -2 * this.#rate.burst ? 'refused' : 'excessive'
  }

  begin(characters: number): void {
    this.#requests++
    this.#characters += characters
  }

  end(characters: number): void {
    this.#requests--
    this.#characters -= characters
    this.#lastAt = performance.now()
  }

  /** Counts a frame that is no message. Answers whether it was one too many. */
  badFrame(): boolean {
    return ++this.#badFrames >= this.#limits.badFrames
  }
}
