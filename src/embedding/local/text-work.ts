import { InvalidInput } from '../../core/errors.ts'
import type { Work } from '../backend.ts'
import type { Job } from './dispatcher.ts'
import type { EmbedReply, Reply } from './messages.ts'
import { estimateTokens, type QueuedText, TextQueue } from './queue.ts'

export interface TextEvents {
  /** For the first time, a text was longer than the model takes. */
  firstCut(): void
}

/** Padded tokens in one job: more gain nothing, and a query behind it waits longer. */
const tokensPerJob = 512
/** Less than this is not worth spreading over the threads. */
const leastTokensPerJob = 128
/** A text that fails this often, the last time alone, is given up. */
const maxFailures = 2

type Priority = Work['priority']

/** The texts that wait or run. */
export class TextWork {
  readonly #dimension: number
  readonly #maxTokens: number
  readonly #on: TextEvents
  readonly #queues: Readonly<Record<Priority, TextQueue>> = { query: new TextQueue(), bulk: new TextQueue() }
  readonly #entries = new Map<Work, QueuedText>()
  #batches = 0
  #computed = 0
  #tokens = 0
  #truncated = 0

  constructor({ dimension, maxTokens }: { readonly dimension: number; readonly maxTokens: number }, on: TextEvents) {
    this.#dimension = dimension
    this.#maxTokens = maxTokens
    this.#on = on
  }

  get totals() {
    return { computed: this.#computed, tokens: this.#tokens, truncated: this.#truncated, batches: this.#batches }
  }

  /** Roughly: if the texts were spread over ever so many threads. */
  get jobsWaiting(): number {
    return Math.ceil((this.#queues.query.tokens + this.#queues.bulk.tokens) / leastTokensPerJob)
  }

  add(work: Work): void {
    const entry: QueuedText = { work, estimate: estimateTokens(work.text, this.#maxTokens), failures: 0 }
    this.#entries.set(work, entry)
    this.#queues[work.priority].add(entry)
  }

  hurry(work: Work): void {
    const entry = this.#entries.get(work)
    if (entry !== undefined && this.#queues.bulk.remove(entry)) this.#queues.query.add(entry)
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
      task: { kind: 'embed', texts: entries.map(({ work }) => work.text) },
      done: (reply) => this.#done(entries, reply),
      failed: (message) => {
        for (const entry of entries) this.#tryAgain(entry, message)
      },
    }
  }

  #done(entries: readonly QueuedText[], reply: Reply): void {
    if (reply.kind !== 'vectors') return
    this.#count(entries.length, reply)
    entries.forEach(({ work }, at) => {
      this.#entries.delete(work)
      // A copy, so that one vector that is kept does not keep the whole batch.
      work.done(reply.vectors.slice(at * this.#dimension, (at + 1) * this.#dimension))
    })
  }

  #count(texts: number, reply: EmbedReply): void {
    this.#batches++
    this.#computed += texts
    this.#tokens += reply.tokens
    if (this.#truncated === 0 && reply.truncated > 0) this.#on.firstCut()
    this.#truncated += reply.truncated
  }

  #tryAgain(entry: QueuedText, message: string): void {
    entry.failures++
    if (entry.failures < maxFailures) {
      this.#queues[entry.work.priority].addAgain(entry)
      return
    }
    const advice = `The model failed on a text of ${entry.work.text.length} characters each time it was tried`
    this.#fail(entry, new InvalidInput({ code: 'text_not_embeddable', message: `${advice}: ${message}` }))
  }

  #keepIfWanted({ work }: QueuedText): boolean {
    if (work.wanted()) return true
    this.#entries.delete(work)
    work.dropped()
    return false
  }

  #fail({ work }: QueuedText, error: Error): void {
    this.#entries.delete(work)
    work.failed(error)
  }
}
