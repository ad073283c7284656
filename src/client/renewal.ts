import { reconnectDelay } from './backoff.ts'
import type { Tokens } from './tokens.ts'

const longestTimerMs = 2 ** 31 - 1

/** Asks for a newer token before the one that a connection was opened with expires. */
export class Renewal {
  readonly #tokens: Tokens
  readonly #renewed: (token: string) => void
  #timer: ReturnType<typeof setTimeout> | undefined
  /** What an earlier connection still waits for counts no more. */
  #round = 0

  constructor(tokens: Tokens, renewed: (token: string) => void) {
    this.#tokens = tokens
    this.#renewed = renewed
  }

  /** The server takes the token until then. */
  start(until: number | null): void {
    this.stop()
    const delay = this.#tokens.lasts(until)
    if (delay !== undefined) this.#renewIn(delay, 0)
  }

  stop(): void {
    this.#round++
    clearTimeout(this.#timer)
  }

  #renewIn(delay: number, attempt: number): void {
    this.#timer = setTimeout(() => void this.#renew(attempt), Math.min(delay, longestTimerMs))
  }

  /** If none can be had until the old one expires, the server closes the connection. */
  async #renew(attempt: number): Promise<void> {
    const round = this.#round
    try {
      const token = await this.#tokens.current()
      if (round === this.#round && token) this.#renewed(token)
    } catch {
      if (round === this.#round) this.#renewIn(reconnectDelay(attempt), attempt + 1)
    }
  }
}
