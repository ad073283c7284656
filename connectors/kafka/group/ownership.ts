/** A moment by a clock that stands still while the machine sleeps, and by one that does not. */
export interface Moment {
  readonly steady: number
  readonly wall: number
}

export function now(): Moment {
  return { steady: performance.now(), wall: Date.now() }
}

/**
 * Until when this member may believe that it is in its group: for a session timeout from when a request was sent that the
 * coordinator has answered. The coordinator counts from when the request arrived, which is later, so it never gives the
 * partitions on while this member still believes it has them.
 */
export class Ownership {
  readonly #sessionTimeout: number
  readonly #now: () => Moment
  #from: Moment | undefined

  constructor(sessionTimeout: number, clock: () => Moment = now) {
    this.#sessionTimeout = sessionTimeout
    this.#now = clock
  }

  /** The coordinator has answered what was sent then. */
  confirm(sent: Moment): void {
    const from = this.#from
    if (from === undefined || sent.steady > from.steady) this.#from = sent
  }

  /** The coordinator has said that it does not know this member, or nobody may rely on it any more. */
  end(): void {
    this.#from = undefined
  }

  /** It was held, and nothing was heard in time. */
  get ranOut(): boolean {
    return this.#from !== undefined && !this.holds
  }

  get holds(): boolean {
    return this.left > 0
  }

  /** For how long it still holds if nothing more is heard, milliseconds. */
  get left(): number {
    if (this.#from === undefined) return 0
    const { steady, wall } = this.#now()
    return this.#sessionTimeout - Math.max(steady - this.#from.steady, wall - this.#from.wall)
  }
}
