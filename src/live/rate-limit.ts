/** A token bucket: `rate` a second on average, and a second's worth at once. */
export class RateLimit {
  readonly #rate: number
  /** The most that may go at once. */
  readonly burst: number
  readonly #now: () => number
  #tokens: number
  #at: number

  /** `now` is a monotonic clock in milliseconds. */
  constructor(rate: number, now: () => number = () => performance.now()) {
    this.#rate = rate
    this.burst = Math.max(1, Math.ceil(rate))
    this.#now = now
    this.#tokens = this.burst
    this.#at = now()
  }

  get allowance(): number {
    const now = this.#now()
    this.#tokens = Math.min(this.burst, this.#tokens + ((now - this.#at) * this.#rate) / 1000)
    this.#at = now
    return Math.floor(this.#tokens)
  }

  take(count: number): void {
    this.#tokens -= count
  }

  /** Milliseconds until one more may go. */
  get readyIn(): number {
    return this.allowance >= 1 ? 0 : ((1 - this.#tokens) * 1000) / this.#rate
  }
}
