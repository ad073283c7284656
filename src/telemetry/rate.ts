const slotMs = 500
const slots = 10

/** Events per second over the last five seconds. Constant memory. */
export class RateMeter {
  readonly #counts = new Float64Array(slots)
  readonly #now: () => number
  readonly #started: number
  #slot: number

  /** `now` is a monotonic clock in milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
    this.#started = now()
    this.#slot = Math.floor(this.#started / slotMs)
  }

  add(events: number): void {
    this.#advance()
    this.#counts[this.#slot % slots] = (this.#counts[this.#slot % slots] ?? 0) + events
  }

  rate(): number {
    this.#advance()
    const now = this.#now()
    // The current slot is only partly over.
    const covered = Math.min((slots - 1) * slotMs + (now % slotMs), now - this.#started)
    const total = this.#counts.reduce((sum, count) => sum + count, 0)
    return (total * 1000) / Math.max(covered, 1000)
  }

  #advance(): void {
    const slot = Math.floor(this.#now() / slotMs)
    for (let passed = Math.max(this.#slot + 1, slot - slots + 1); passed <= slot; passed++) {
      this.#counts[passed % slots] = 0
    }
    this.#slot = Math.max(slot, this.#slot)
  }
}
