import { Retryable } from '../../src/core/errors.ts'

/** Hands out things that serve one caller at a time, first come first served. */
export class Slots<T> {
  readonly #free: T[]
  readonly #all: number
  readonly #waiting: ((item: T) => void)[] = []
  readonly #longest: number
  #idle: (() => void) | undefined

  /** `longest` bounds the queue: beyond it a caller gets `Retryable` (`clickhouse_busy`). */
  constructor(items: readonly T[], longest: number) {
    this.#free = [...items]
    this.#all = items.length
    this.#longest = longest
  }

  async use<R>(work: (item: T) => Promise<R>, signal?: AbortSignal): Promise<R> {
    const item = await this.#take(signal)
    try {
      return await work(item)
    } finally {
      const next = this.#waiting.shift()
      if (next !== undefined) next(item)
      else this.#free.push(item)
      if (this.#free.length === this.#all) this.#idle?.()
    }
  }

  /** Resolves when nothing is in use. */
  async idle(): Promise<void> {
    if (this.#free.length === this.#all) return
    await new Promise<void>((resolve) => {
      this.#idle = resolve
    })
  }

  async #take(signal: AbortSignal | undefined): Promise<T> {
    signal?.throwIfAborted()
    const free = this.#free.pop()
    if (free !== undefined) return free
    if (this.#waiting.length >= this.#longest) {
      throw new Retryable({
        code: 'clickhouse_busy',
        message: 'ClickHouse has too much to do: try again',
        delayMs: 1000,
      })
    }
    return await new Promise((resolve, reject) => {
      const settle = (item: T) => {
        signal?.removeEventListener('abort', abandon)
        resolve(item)
      }
      const abandon = () => {
        this.#waiting.splice(this.#waiting.indexOf(settle), 1)
        reject(signal?.reason)
      }
      this.#waiting.push(settle)
      signal?.addEventListener('abort', abandon, { once: true })
    })
  }
}
