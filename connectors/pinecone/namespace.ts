import type { Index } from '@pinecone-database/pinecone'
import { Retryable } from '../../src/core/errors.ts'
import type { Connection } from './connection.ts'
import { Missing } from './failure.ts'
import { elapsed, pause } from './waiting.ts'

/** How long a write may take until it is found. Pinecone promises no limit; seconds are usual. */
const freshnessTimeoutMs = 30_000

/**
 * One namespace, whose reads see what was written through this object: Pinecone numbers the writes of a namespace, and
 * an answer says up to which number it reflects them. What others wrote is found a little later.
 */
export class Namespace {
  readonly name: string
  readonly #connection: Connection
  readonly #probe: number[]
  #written = 0
  /** Every write up to this one has been found. */
  #found = 0
  #numbered = false
  #unnumbered: Promise<unknown> = Promise.resolve()

  constructor(connection: Connection, name: string, dimension: number) {
    this.#connection = connection
    this.name = name
    this.#probe = unitVector(dimension)
  }

  /**
   * Writes. `arrived` is asked, where answers have no numbers, whether the write is to be seen. Such writes go one after
   * the other, as the next could cover what is waited for.
   */
  async write(
    doing: string,
    work: (index: Index) => Promise<unknown>,
    arrived: (index: Index) => Promise<boolean>,
  ): Promise<void> {
    const once = async () => {
      const { sequence } = await this.#connection.call(doing, work)
      this.#numbered = sequence.written !== undefined
      if (sequence.written !== undefined) this.#written = Math.max(this.#written, sequence.written)
      else await this.#until(doing, async () => (await this.#connection.call(doing, arrived)).answer)
    }
    if (this.#numbered) return once()
    const turn = this.#unnumbered.then(once)
    this.#unnumbered = turn.catch(() => undefined)
    return turn
  }

  /** Queries until the answer reflects every write before this call. */
  async query<T>(
    doing: string,
    work: (index: Index) => Promise<T>,
    timeoutMs: number = freshnessTimeoutMs,
  ): Promise<T> {
    const wanted = this.#written
    let found: { readonly answer: T } | undefined
    await this.#until(
      doing,
      async () => {
        const { answer, sequence } = await this.#connection.call(doing, work)
        found = { answer }
        return (sequence.indexed ?? wanted) >= wanted
      },
      timeoutMs,
    )
    if (found === undefined) throw new Error('A query was not answered.')
    return found.answer
  }

  /** Reads in another way than by a query, once a query would reflect every write before this call. */
  async read<T>(doing: string, work: (index: Index) => Promise<T>): Promise<T> {
    await this.settled(doing)
    return (await this.#connection.call(doing, work)).answer
  }

  /** Resolves once others too find what was written through this object. */
  async settled(doing: string, timeoutMs: number = freshnessTimeoutMs): Promise<void> {
    const wanted = this.#written
    if (this.#found >= wanted) return
    const query = { namespace: this.name, vector: this.#probe, topK: 1 }
    await this.query(doing, (index) => index.query(query), timeoutMs)
    this.#found = Math.max(this.#found, wanted)
  }

  async #until(doing: string, arrived: () => Promise<boolean>, timeoutMs: number = freshnessTimeoutMs): Promise<void> {
    const since = Date.now()
    for (let turn = 0; !(await arrived()); turn++) {
      if (elapsed(since, timeoutMs)) {
        throw new Retryable({
          code: 'vectors_unavailable',
          message: `Pinecone does not show yet what was written more than ${timeoutMs / 1_000} s ago (${doing}).`,
        })
      }
      await pause(turn)
    }
  }
}

/** A namespace comes to be with its first record; before, Pinecone says that it is not found. */
export async function orMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if (error instanceof Missing) return undefined
    throw error
  }
}

/** A vector for what needs one and is not searched by it. */
export function unitVector(dimension: number): number[] {
  return Array.from({ length: dimension }, (_, index) => (index === 0 ? 1 : 0))
}
