const minuteMs = 60_000
/** A tenth of a minute's allowance may be used at once. */
const burstShare = 0.1

export interface MinuteLimits {
  readonly requestsPerMinute?: number | undefined
  readonly tokensPerMinute?: number | undefined
}

/**
 * A token bucket that lets no more than its allowance pass in any minute: what may come at once and what flows in during
 * a minute are the allowance together. Instants are milliseconds of a clock that does not go back.
 */
class Bucket {
  readonly capacity: number
  readonly #perMs: number
  #level: number
  #at = 0

  constructor(perMinute: number) {
    this.capacity = Math.max(1, Math.floor(perMinute * burstShare))
    this.#perMs = (perMinute - this.capacity + 1) / minuteMs
    this.#level = this.capacity
  }

  /** Milliseconds until so much may pass. What is more than the capacity passes when the bucket is full. */
  waitMs(amount: number, now: number): number {
    this.#fill(now)
    const missing = Math.min(amount, this.capacity) - this.#level
    return missing <= 0 ? 0 : Math.ceil(missing / this.#perMs)
  }

  take(amount: number, now: number): void {
    this.#fill(now)
    this.#level -= amount
  }

  #fill(now: number): void {
    this.#level = Math.min(this.capacity, this.#level + (now - this.#at) * this.#perMs)
    this.#at = now
  }
}

/** When the next request may be sent: by our own limits, and by what the server has asked for. */
export class RateLimit {
  readonly #requests: Bucket | undefined
  readonly #tokens: Bucket | undefined
  #pausedUntil = 0

  constructor({ requestsPerMinute, tokensPerMinute }: MinuteLimits) {
    this.#requests = requestsPerMinute === undefined ? undefined : new Bucket(requestsPerMinute)
    this.#tokens = tokensPerMinute === undefined ? undefined : new Bucket(tokensPerMinute)
  }

  /** Most tokens that may be sent at once. */
  get tokensAtOnce(): number {
    return this.#tokens?.capacity ?? Number.POSITIVE_INFINITY
  }

  /** Nothing is sent for so long. */
  pause(milliseconds: number, now: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, now + milliseconds)
  }

  /** Milliseconds until the server wants to be asked again. */
  pauseMs(now: number): number {
    return Math.max(0, this.#pausedUntil - now)
  }

  /** Milliseconds until a request of so many tokens may be sent. */
  waitMs(tokens: number, now: number): number {
    const requests = this.#requests?.waitMs(1, now) ?? 0
    return Math.max(this.pauseMs(now), requests, this.#tokens?.waitMs(tokens, now) ?? 0)
  }

  /** To be called when a request is sent. */
  sent(tokens: number, now: number): void {
    this.#requests?.take(1, now)
    this.#tokens?.take(tokens, now)
  }
}
