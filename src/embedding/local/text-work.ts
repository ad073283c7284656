import { InvalidInput } from '../../core/errors.ts'
import { Capacity } from '../capacity.ts'
import type { EmbedRequest } from '../request.ts'
import type { Job } from './dispatcher.ts'
import type { EmbedReply, Reply } from './messages.ts'
import { estimateTokens, type QueuedText, TextQueue } from './queue.ts'

export type Priority = 'query' | 'bulk'

/** How much waits or runs at most, of each priority. Whoever brings more waits. */
export interface QueueBounds {
  readonly texts: number
  readonly characters: number
}

export interface TextEvents {
  /** A vector is there. */
  vector(entry: QueuedText, vector: Float32Array): void
  /** For the first time, a text was longer than the model takes. */
  firstCut(): void
}

/** Padded tokens in one job: more gain nothing, and a query behind it waits longer. */
const tokensPerJob = 512
/** Less than this is not worth spreading over the threads. */
const leastTokensPerJob = 128
/** A text that fails this often, the last time alone, is given up. */
const maxFailures = 2

/** The texts that wait or run, each once however many ask for it. */
export class TextWork {
  readonly #dimension: number
  readonly #maxTokens: number
  readonly #on: TextEvents
  readonly #queues: Readonly<Record<Priority, TextQueue>> = { query: new TextQueue(), bulk: new TextQueue() }
  readonly #capacity: Readonly<Record<Priority, Capacity>>
  readonly #inFlight = new Map<string, { readonly entry: QueuedText; readonly priority: Priority }>()
  #computed = 0
  #tokens = 0
  #truncated = 0

  constructor(
    { dimension, maxTokens }: { readonly dimension: number; readonly maxTokens: number },
    bounds: QueueBounds,
    on: TextEvents,
  ) {
    this.#dimension = dimension
    this.#maxTokens = maxTokens
    this.#on = on
    const capacity = () => new Capacity(bounds.texts, bounds.characters)
    this.#capacity = { query: capacity(), bulk: capacity() }
  }

  get totals() {
    return { computed: this.#computed, tokens: this.#tokens, truncated: this.#truncated }
  }

  /** Texts that wait or run. */
  get depth(): number {
    return this.#inFlight.size
  }

  /** Calls that wait for room. */
  get callersWaiting(): number {
    return this.#capacity.query.waiting + this.#capacity.bulk.waiting
  }

  /** Roughly: if the texts were spread over ever so many threads. */
  get jobsWaiting(): number {
    return Math.ceil((this.#queues.query.tokens + this.#queues.bulk.tokens) / leastTokensPerJob)
  }

  /** Adds a waiter to a text that is already on its way; a query takes it along to the front. */
  join(text: string, priority: Priority, request: EmbedRequest, index: number): boolean {
    const known = this.#inFlight.get(text)
    if (known === undefined) return false
    known.entry.waiters.push({ request, index })
    if (priority === 'query' && this.#queues.bulk.remove(known.entry)) this.#queues.query.add(known.entry)
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

  /** Queues a text for which room was entered. */
  add(text: string, key: string, priority: Priority, request: EmbedRequest, index: number): void {
    const estimate = estimateTokens(text, this.#maxTokens)
    const entry: QueuedText = { text, key, estimate, waiters: [{ request, index }], failures: 0 }
    this.#inFlight.set(text, { entry, priority })
    this.#queues[priority].add(entry)
  }

  /** A job of the oldest texts; texts nobody waits for any more are dropped on the way. */
  next(priority: Priority, threads: number): Job | undefined {
    const queue = this.#queues[priority]
    while (queue.size > 0) {
      const share = Math.ceil(queue.tokens / threads)
      const entries = queue.take(Math.min(tokensPerJob, Math.max(leastTokensPerJob, share)))
      const wanted = entries.filter((entry) => this.#keepIfWanted(entry))
      if (wanted.length > 0) return this.#job(wanted)
    }
    return undefined
  }

  /** Rejects everything that waits. */
  failAll(error: Error): void {
    for (const queue of Object.values(this.#queues)) for (const entry of queue.drain()) this.#fail(entry, error)
  }

  #job(entries: readonly QueuedText[]): Job {
    return {
      task: { kind: 'embed', texts: entries.map((entry) => entry.text) },
      done: (reply) => this.#done(entries, reply),
      failed: (message) => {
        for (const entry of entries) this.#tryAgain(entry, message)
      },
    }
  }

  #done(entries: readonly QueuedText[], reply: Reply): void {
    if (reply.kind !== 'vectors') return
    this.#count(entries.length, reply)
    entries.forEach((entry, at) => {
      // A copy, so that one vector that is kept does not keep the whole batch.
      const vector = reply.vectors.slice(at * this.#dimension, (at + 1) * this.#dimension)
      this.#release(entry)
      this.#on.vector(entry, vector)
      for (const { request, index } of entry.waiters) request.settle(index, vector)
    })
  }

  #count(texts: number, reply: EmbedReply): void {
    this.#computed += texts
    this.#tokens += reply.tokens
    if (this.#truncated === 0 && reply.truncated > 0) this.#on.firstCut()
    this.#truncated += reply.truncated
  }

  #tryAgain(entry: QueuedText, message: string): void {
    entry.failures++
    const priority = this.#inFlight.get(entry.text)?.priority
    if (entry.failures < maxFailures && priority !== undefined) {
      this.#queues[priority].addAgain(entry)
      return
    }
    const advice = `The model failed on a text of ${entry.text.length} characters each time it was tried`
    this.#fail(entry, new InvalidInput({ code: 'text_not_embeddable', message: `${advice}: ${message}` }))
  }

  #keepIfWanted(entry: QueuedText): boolean {
    if (entry.waiters.some(({ request }) => !request.over.aborted)) return true
    this.#release(entry)
    return false
  }

  #fail(entry: QueuedText, error: Error): void {
    this.#release(entry)
    for (const { request } of entry.waiters) request.fail(error)
  }

  #release(entry: QueuedText): void {
    const known = this.#inFlight.get(entry.text)
    if (known === undefined) return
    this.#inFlight.delete(entry.text)
    this.#capacity[known.priority].leave(entry.text.length)
  }
}
