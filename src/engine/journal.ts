import type { Committed } from '../core/event-log.ts'

/**
 * The committed position `(from, ends)` of a lane and what it is about to become. A block is *closed*, then its end is
 * *journalled* (committed), then it is *delivered*, then that is committed as well:
 *
 *     closed --commit--> journalled --every sink--> delivered --commit--> forgotten
 *
 * `next()` is what to commit now; `committed()` says that it was. Holds: `ends` is ascending and above `from`; no end
 * ever changes between being journalled and being delivered.
 */
export class Journal {
  #committed: Committed
  #from: number
  #ends: number[]

  constructor(found: Committed) {
    this.#committed = found
    this.#from = found.from
    this.#ends = [...found.ends]
  }

  /** A block ends here. Known already when it is a replay of a journalled one. */
  close(end: number): void {
    if (!this.#ends.includes(end)) this.#ends.push(end)
  }

  /** Every sink has accepted all of the oldest block. */
  deliver(end: number): void {
    this.#from = end
    this.#ends = this.#ends.filter((other) => other > end)
  }

  isJournalled(end: number): boolean {
    return this.#committed.ends.includes(end)
  }

  next(): Committed {
    return { from: this.#from, ends: [...this.#ends] }
  }

  committed(committed: Committed): void {
    this.#committed = committed
  }
}
