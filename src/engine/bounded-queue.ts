/**
 * A first-in, first-out queue with one producer, which waits for `room`, and one consumer. The limit is on what the
 * items weigh together.
 */
export class BoundedQueue<T extends object> {
  readonly #limit: number
  readonly #weightOf: (item: T) => number
  readonly #items: T[] = []
  #weight = 0
  #ended = false
  #waitingForRoom: (() => void) | undefined
  #waitingForItem: (() => void) | undefined

  constructor(limit: number, weightOf: (item: T) => number = () => 1) {
    this.#limit = limit
    this.#weightOf = weightOf
  }

  get size(): number {
    return this.#items.length
  }

  /** Resolves once there is room for an item, or when the signal fires or the queue ends. */
  async room(signal: AbortSignal): Promise<void> {
    const wake = () => this.#waitingForRoom?.()
    signal.addEventListener('abort', wake)
    while (this.#weight >= this.#limit && !signal.aborted && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#waitingForRoom = resolve
      })
    }
    signal.removeEventListener('abort', wake)
  }

  push(item: T): void {
    this.#items.push(item)
    this.#weight += this.#weightOf(item)
    this.#waitingForItem?.()
  }

  /** No item will follow; what is queued can still be taken. */
  end(): void {
    this.#ended = true
    this.#waitingForItem?.()
    this.#waitingForRoom?.()
  }

  /** The next item; `ended` after the last one, `timeout` if none came within the time (milliseconds). */
  async shift(timeoutMs?: number): Promise<T | 'ended' | 'timeout'> {
    for (;;) {
      const item = this.#items.shift()
      if (item !== undefined) {
        this.#weight = this.#items.length === 0 ? 0 : this.#weight - this.#weightOf(item)
        this.#waitingForRoom?.()
        return item
      }
      if (this.#ended) return 'ended'
      if (timeoutMs === 0) return 'timeout'
      if (await this.#arrival(timeoutMs)) return 'timeout'
    }
  }

  /** True if the time ran out before anything came. */
  async #arrival(timeoutMs: number | undefined): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined
    const timedOut = await new Promise<boolean>((resolve) => {
      this.#waitingForItem = () => resolve(false)
      if (timeoutMs !== undefined) timer = setTimeout(() => resolve(true), timeoutMs)
    })
    clearTimeout(timer)
    this.#waitingForItem = undefined
    return timedOut && this.#items.length === 0 && !this.#ended
  }
}
