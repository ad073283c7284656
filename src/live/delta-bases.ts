import type { Base, Matched } from './channel-event.ts'
import { deltaKeys } from './protocol.ts'

/** What the bases of one group may be beside those of the others: a share of a whole that all groups of a process have. */
export interface BaseBudget {
  /** JSON characters. */
  readonly share: number
  enter(): void
  leave(): void
}

/** Divides so many JSON characters evenly. */
export class SharedBudget implements BaseBudget {
  readonly #whole: number
  #users = 0

  constructor(whole: number) {
    this.#whole = whole
  }

  get share(): number {
    return this.#whole / Math.max(1, this.#users)
  }

  enter(): void {
    this.#users++
  }

  leave(): void {
    this.#users--
  }
}

const processBudget = new SharedBudget(32 * 2 ** 20)

interface Kept extends Base {
  /** JSON characters. */
  readonly size: number
}

/**
 * The last value of each key among the events that a group was sent, as its clients have them: the bases of deltas. Every
 * event with a key counts, also one that can be no base, so that a client that keeps the `deltaKeys` keys that came last
 * has every base that is here.
 */
export class DeltaBases {
  readonly #kept = new Map<string, Kept>()
  readonly #budget: BaseBudget
  readonly #keys: number
  #size = 0

  /** Needs one `release`. */
  constructor(budget: BaseBudget = processBudget, keys = deltaKeys) {
    this.#budget = budget
    this.#keys = keys
    budget.enter()
  }

  release(): void {
    this.#budget.leave()
    this.#kept.clear()
  }

  /** Gives each event its base, and takes it for the base of the next one of its key. In the order of offsets. */
  advance(events: readonly Matched[]): void {
    for (const event of events) {
      const { key, value, offset } = event.source.event
      if (key === null) continue
      event.base = this.#kept.get(key)
      this.#forget(key)
      // A retraction leaves nothing that a delta could apply to.
      this.#kept.set(key, { offset, value, size: event.bytes })
      this.#size += event.bytes
      this.#forgetOldest()
    }
  }

  #forgetOldest(): void {
    const { share } = this.#budget
    for (const key of this.#kept.keys()) {
      if (this.#kept.size <= this.#keys && this.#size <= share) return
      this.#forget(key)
    }
  }

  #forget(key: string): void {
    const kept = this.#kept.get(key)
    if (!kept) return
    this.#kept.delete(key)
    this.#size -= kept.size
  }
}
