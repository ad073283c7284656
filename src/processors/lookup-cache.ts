import type { Failure } from '../core/component.ts'
import type { Json } from '../core/event.ts'
import { unlessAborted } from '../core/unless-aborted.ts'

/** What a key stands for: something, nothing, or why that cannot be said of this key. */
export type Answer = { readonly found: true; readonly value: Json } | { readonly found: false } | Failure

/** Begins to look keys up, together where the other side can. One answer for each; rejected when it is worth another try. */
export type Lookup = (keys: readonly string[]) => readonly Promise<Answer>[]

interface Kept {
  readonly answer: Answer
  readonly until: number
  readonly bytes: number
}

/** Characters of answers, as JSON, that one lookup keeps. */
const mostBytes = 32 * 2 ** 20
/** What an answer takes beside its text, roughly. */
const overhead = 200

/** Answers that were given lately, and those that are on their way: each key is asked for once, whoever wants it. */
export class LookupCache {
  readonly #lookup: Lookup
  readonly #ttlMs: number
  readonly #maxBytes: number
  /** Oldest answer first. */
  readonly #kept = new Map<string, Kept>()
  readonly #asked = new Map<string, Promise<Answer>>()
  #bytes = 0

  constructor(lookup: Lookup, ttlMs: number, maxBytes = mostBytes) {
    this.#lookup = lookup
    this.#ttlMs = ttlMs
    this.#maxBytes = maxBytes
  }

  /**
   * The answer for every key. Rejects if some have none at present, or when the signal fires; what the others have come to
   * is kept all the same, so that another try has less to ask for.
   */
  async get(keys: ReadonlySet<string>, signal: AbortSignal): Promise<ReadonlyMap<string, Answer>> {
    const answers = new Map<string, Answer>()
    const missing: string[] = []
    for (const key of keys) {
      const answer = this.#fresh(key)
      if (answer === undefined) missing.push(key)
      else answers.set(key, answer)
    }
    if (missing.length === 0) return answers
    this.#ask(missing.filter((key) => !this.#asked.has(key)))
    const awaited = missing.map(async (key) => {
      const answer = await this.#asked.get(key)
      if (answer !== undefined) answers.set(key, answer)
    })
    await allUnlessAborted(awaited, signal)
    return answers
  }

  #ask(keys: readonly string[]): void {
    if (keys.length === 0) return
    for (const [index, promise] of this.#lookup(keys).entries()) {
      const key = keys[index] ?? ''
      const asked = promise.then((answer) => {
        this.#keep(key, answer)
        return answer
      })
      this.#asked.set(key, asked)
      const over = () => void this.#asked.delete(key)
      asked.then(over, over)
    }
  }

  #fresh(key: string): Answer | undefined {
    const kept = this.#kept.get(key)
    if (kept === undefined) return undefined
    if (kept.until > performance.now()) return kept.answer
    this.#drop(key, kept)
    return undefined
  }

  /** Failures are not kept: what is wrong with a key may be put right. */
  #keep(key: string, answer: Answer): void {
    const before = this.#kept.get(key)
    if (before !== undefined) this.#drop(key, before)
    if ('failed' in answer) return
    const bytes = key.length + (answer.found ? JSON.stringify(answer.value).length : 0) + overhead
    this.#kept.set(key, { answer, until: performance.now() + this.#ttlMs, bytes })
    this.#bytes += bytes
    for (const [oldest, kept] of this.#kept) {
      if (this.#bytes <= this.#maxBytes) return
      this.#drop(oldest, kept)
    }
  }

  #drop(key: string, { bytes }: Kept): void {
    this.#kept.delete(key)
    this.#bytes -= bytes
  }
}

/** Waits for all to settle before it says what is wrong with one, so that nothing of a failed try is still under way. */
async function allUnlessAborted(promises: readonly Promise<void>[], signal: AbortSignal): Promise<void> {
  const settled = await unlessAborted(Promise.allSettled(promises), signal)
  for (const result of settled) if (result.status === 'rejected') throw result.reason
}
