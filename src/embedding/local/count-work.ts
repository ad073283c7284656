import { InvalidInput } from '../../core/errors.ts'
import { Capacity } from '../capacity.ts'
import type { Job } from './dispatcher.ts'

interface Part {
  readonly texts: readonly string[]
  readonly characters: number
  failures: number
  resolve(counts: Uint32Array): void
  reject(error: Error): void
}

/** Characters that one job counts, so that a thread is soon free again for a query. */
const charactersPerJob = 32_768
const maxFailures = 2

/** Token counts that wait or run. */
export class CountWork {
  readonly #parts: Part[] = []
  readonly #capacity: Capacity
  #ended: Error | undefined

  /** `characters`: how much waits or runs at most. */
  constructor(characters: number) {
    this.#capacity = new Capacity(Number.POSITIVE_INFINITY, characters)
  }

  get jobsWaiting(): number {
    return this.#parts.length
  }

  /** Counts in the order of the texts. `wake` is called for each part that is queued. */
  async count(texts: readonly string[], signal: AbortSignal, wake: () => void): Promise<number[]> {
    const parts: Promise<Uint32Array>[] = []
    for (const part of cutParts(texts)) {
      const characters = part.reduce((sum, text) => sum + text.length, 0)
      await this.#capacity.enter(characters, signal)
      if (this.#ended !== undefined) throw this.#ended
      const counts = new Promise<Uint32Array>((resolve, reject) => {
        this.#parts.push({ texts: part, characters, failures: 0, resolve, reject })
      })
      // An earlier part may fail while a later one still waits for room.
      counts.catch(() => {})
      parts.push(counts)
      wake()
    }
    return (await Promise.all(parts)).flatMap((counts) => [...counts])
  }

  next(): Job | undefined {
    const part = this.#parts.shift()
    if (part === undefined) return undefined
    return {
      task: { kind: 'count', texts: part.texts },
      done: (reply) => {
        this.#capacity.leave(part.characters)
        if (reply.kind === 'counts') part.resolve(reply.counts)
      },
      failed: (message) => this.#tryAgain(part, message),
    }
  }

  /** Rejects everything that waits, and what fails from now on. */
  failAll(error: Error): void {
    this.#ended = error
    for (const part of this.#parts.splice(0)) this.#fail(part, error)
  }

  #tryAgain(part: Part, message: string): void {
    part.failures++
    if (this.#ended !== undefined) this.#fail(part, this.#ended)
    else if (part.failures < maxFailures) this.#parts.unshift(part)
    else {
      const text = `The tokens of ${part.texts.length} texts could not be counted: ${message}`
      this.#fail(part, new InvalidInput({ code: 'text_not_countable', message: text }))
    }
  }

  #fail(part: Part, error: Error): void {
    this.#capacity.leave(part.characters)
    part.reject(error)
  }
}

function* cutParts(texts: readonly string[]): Generator<string[]> {
  let part: string[] = []
  let characters = 0
  for (const text of texts) {
    if (part.length > 0 && characters + text.length > charactersPerJob) {
      yield part
      part = []
      characters = 0
    }
    part.push(text)
    characters += text.length
  }
  if (part.length > 0) yield part
}
