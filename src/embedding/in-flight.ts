import type { Backend, Work } from './backend.ts'
import { Capacity } from './capacity.ts'
import type { EmbedRequest } from './request.ts'

export type Priority = Work['priority']

/** How much waits or runs at most, of each priority. Whoever brings more waits. */
export interface QueueBounds {
  readonly texts: number
  readonly characters: number
}

export interface InFlightEvents {
  /** A vector is there. */
  computed(key: string, vector: Float32Array): void
  /** A text has failed. */
  failed(error: Error): void
}

/** The texts that are being computed, each once however many ask for it. */
export class InFlight {
  readonly #backend: Backend
  readonly #on: InFlightEvents
  readonly #capacity: Readonly<Record<Priority, Capacity>>
  readonly #texts = new Map<string, TextInFlight>()

  constructor(backend: Backend, bounds: QueueBounds, on: InFlightEvents) {
    this.#backend = backend
    this.#on = on
    const capacity = () => new Capacity(bounds.texts, bounds.characters)
    this.#capacity = { query: capacity(), bulk: capacity() }
  }

  get size(): number {
    return this.#texts.size
  }

  /** Calls that wait for room. */
  get callersWaiting(): number {
    return this.#capacity.query.waiting + this.#capacity.bulk.waiting
  }

  /** Adds a waiter to a text that is already on its way; a query takes it along to the front. */
  join(key: string, priority: Priority, request: EmbedRequest, index: number): boolean {
    const known = this.#texts.get(key)
    if (known === undefined) return false
    known.waiters.push({ request, index })
    if (priority === 'query' && known.priority === 'bulk') this.#backend.hurry(known)
    return true
  }

  tryEnter(text: string, priority: Priority): boolean {
    return this.#capacity[priority].tryEnter(text.length)
  }

  enter(text: string, priority: Priority, signal: AbortSignal): Promise<void> {
    return this.#capacity[priority].enter(text.length, signal)
  }

  /** Gives back room that was entered and is not needed after all. */
  leave(text: string, priority: Priority): void {
    this.#capacity[priority].leave(text.length)
  }

  /** Hands a text, for which room was entered, to the backend. */
  start(key: string, text: string, priority: Priority, request: EmbedRequest, index: number): void {
    const work = new TextInFlight(text, priority, { request, index }, (vector) => {
      this.#texts.delete(key)
      this.leave(text, priority)
      if (vector instanceof Float32Array) this.#on.computed(key, vector)
      else if (vector !== undefined) this.#on.failed(vector)
    })
    this.#texts.set(key, work)
    this.#backend.submit(work)
  }
}

interface Waiter {
  readonly request: EmbedRequest
  readonly index: number
}

/** A text on its way to its vector, with everyone who waits for it. */
class TextInFlight implements Work {
  readonly text: string
  readonly priority: Priority
  readonly waiters: Waiter[]
  /** Called once, before the waiters learn of it: with the vector, or the error, or nothing if it was dropped. */
  readonly #end: (outcome: Float32Array | Error | undefined) => void

  constructor(
    text: string,
    priority: Priority,
    first: Waiter,
    end: (outcome: Float32Array | Error | undefined) => void,
  ) {
    this.text = text
    this.priority = priority
    this.waiters = [first]
    this.#end = end
  }

  wanted(): boolean {
    return this.waiters.some(({ request }) => !request.over.aborted)
  }

  done(vector: Float32Array): void {
    this.#end(vector)
    for (const { request, index } of this.waiters) request.settle(index, vector)
  }

  failed(error: Error): void {
    this.#end(error)
    for (const { request } of this.waiters) request.fail(error)
  }

  dropped(): void {
    this.#end(undefined)
  }
}
