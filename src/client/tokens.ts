/** A token, or what answers one: asked whenever there is none, or the one there is will soon expire or was refused. */
export type Token = string | (() => string | Promise<string>)

const leastMs = 1_000
/** Where the clock of the page is wrong, every token seems to have expired: nobody is to be asked over and over for it. */
const mostHastyMs = 60_000

/** The token of a client: asked for once for everyone who needs it, and kept until it will not do any more. */
export class Tokens {
  readonly #given: Token | undefined
  #known: string | undefined
  #asking: Promise<string> | undefined
  /** How often in a row a token seemed to be at its end when it came. */
  #hasty = 0
  #renewAt = Number.POSITIVE_INFINITY

  constructor(given: Token | undefined) {
    this.#given = given
    if (typeof given === 'string') this.#known = given
  }

  /** Whether there can be another one. */
  get renewable(): boolean {
    return typeof this.#given === 'function'
  }

  /** Undefined where none is given. Throws what the page's function throws. */
  current(): Promise<string | undefined> {
    const fresh = this.#known !== undefined && Date.now() < this.#renewAt
    return fresh || !this.renewable ? Promise.resolve(this.#known) : this.renew(this.#known)
  }

  /** Another one than `stale`. Throws what the page's function throws. */
  async renew(stale: string | undefined): Promise<string | undefined> {
    const ask = this.#given
    if (typeof ask !== 'function' || (this.#known !== undefined && this.#known !== stale)) return this.#known
    this.#asking ??= Promise.resolve(ask()).finally(() => {
      this.#asking = undefined
    })
    const token = await this.#asking
    this.#known = token
    this.#renewAt = Number.POSITIVE_INFINITY
    return token
  }

  /**
   * The server takes the token until then (milliseconds since 1970). Answers after how many milliseconds another should
   * be asked for: after about four fifths of what is left, not the same for all clients. Undefined for never.
   */
  lasts(until: number | null, random: () => number = Math.random): number | undefined {
    if (until === null || !this.renewable) return undefined
    let delay = (until - Date.now()) * (0.75 + random() / 10)
    if (delay > leastMs) this.#hasty = 0
    else delay = Math.min(mostHastyMs, leastMs * 2 ** this.#hasty++)
    // Timers may run a little early.
    this.#renewAt = Date.now() + delay - 10
    return delay
  }
}
