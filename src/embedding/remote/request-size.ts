const firstTokens = 2_000
const leastTokens = 256
/** A server that takes longer is slow, or has much to do for others: small requests are answered before they time out. */
const longMs = 2_000
const shortMs = 1_000

/** How many tokens of bulk work to ask for at once: as many as are answered in one to two seconds. */
export class RequestSize {
  readonly #most: number
  #tokens: number

  constructor(most: number) {
    this.#most = most
    this.#tokens = Math.min(most, firstTokens)
  }

  get tokens(): number {
    return this.#tokens
  }

  /** A request took so long. `full`: nothing more would have fitted into it. */
  took(milliseconds: number, full: boolean): void {
    if (milliseconds > longMs) this.#tokens = Math.max(Math.min(leastTokens, this.#most), Math.floor(this.#tokens / 2))
    else if (milliseconds < shortMs && full) this.#tokens = Math.min(this.#most, this.#tokens * 2)
  }
}
