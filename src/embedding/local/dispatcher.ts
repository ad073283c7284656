import { InvalidInput } from '../../core/errors.ts'
import type { Floats, ModelAnswer, ModelTask } from './messages.ts'
import { TextQueue } from './queue.ts'
import { failed, type Priority, type Text } from './text.ts'
import type { Job } from './thread.ts'

export type ModelJob = Job<ModelTask, ModelAnswer>

/** A thread that runs the model. */
export interface ModelThread {
  /** That it has: one runs, the others wait. */
  readonly jobs: number
  readonly urgentJobs: number
  readonly busySince: number
  run(job: ModelJob): void
}

export interface ModelThreads {
  readonly ready: readonly ModelThread[]
  /** There is work for so many more. */
  grow(by: number): void
}

export interface DispatcherEvents {
  /** A batch has gone through the model. */
  computed(texts: readonly Text[]): void
  vector(text: Text, vector: Floats): void
  failed(text: Text, error: InvalidInput): void
  /** Nobody waits for the text any more. */
  dropped(text: Text): void
}

/** Padded tokens in one run of the model: more gain nothing, and a query behind it waits longer. */
export const tokensPerBatch = 384
/** The same of so many bulk batches that follow a query, for others may follow it too: 3 % slower, and half the wait. */
const tokensAfterQuery = 192
const batchesAfterQuery = 64
/** Less than this is not worth spreading over the threads. */
const leastTokensPerBatch = 48
/** Jobs of each priority that a thread has at most: one that runs and one that it goes on with at once. */
const jobsPerThread = 2

/**
 * Cuts batches out of the texts that wait, and hands them to the threads. A thread with nothing to do gets whatever is there;
 * while all are busy texts wait and become batches of equal length, just as long as the threads are busy. Only when so much
 * waits that every thread will have a full batch is one handed over before the thread is free, for it to go on without a pause.
 */
export class Dispatcher {
  readonly #threads: ModelThreads
  readonly #dimension: number
  readonly #crashOn: string | undefined
  readonly #on: DispatcherEvents
  readonly #queues: Readonly<Record<Priority, TextQueue>> = { query: new TextQueue(), bulk: new TextQueue() }
  #smallBatches = 0

  constructor(threads: ModelThreads, dimension: number, crashOn: string | undefined, on: DispatcherEvents) {
    this.#threads = threads
    this.#dimension = dimension
    this.#crashOn = crashOn
    this.#on = on
  }

  /** Takes a tokenized text. `dispatch` is to be called afterwards. */
  add(text: Text): void {
    this.#queues[text.priority].add(text)
  }

  /** Puts a text that waits among the queries. */
  hurry(text: Text): void {
    text.priority = 'query'
    if (this.#queues.bulk.remove(text)) this.#queues.query.add(text)
  }

  /** To be called when there are texts, or room in a thread. */
  dispatch(): void {
    this.#hand('query')
    this.#hand('bulk')
    const { query, bulk } = this.#queues
    this.#threads.grow(Math.ceil((query.tokens + bulk.tokens) / leastTokensPerBatch))
  }

  #hand(priority: Priority): void {
    const queue = this.#queues[priority]
    for (;;) {
      const threads = this.#threads.ready
      const thread = queue.size === 0 ? undefined : this.#freest(priority, queue, threads)
      if (thread === undefined) return
      const idle = threads.filter(({ jobs }) => jobs === 0).length
      const share = Math.ceil(queue.tokens / (idle === 0 ? threads.length : idle))
      const most = priority === 'bulk' && this.#smallBatches > 0 ? tokensAfterQuery : tokensPerBatch
      const texts = queue.take(Math.min(most, Math.max(leastTokensPerBatch, share)))
      const wanted = texts.filter((text) => this.#keepIfWanted(text))
      if (wanted.length === 0) continue
      this.#smallBatches = priority === 'query' ? batchesAfterQuery : Math.max(0, this.#smallBatches - 1)
      thread.run(this.#job(wanted, priority))
    }
  }

  /** The thread that will come to it first, of those that have room. */
  #freest(priority: Priority, queue: TextQueue, threads: readonly ModelThread[]): ModelThread | undefined {
    const plenty = priority === 'query' || queue.tokens >= threads.length * tokensPerBatch
    const most = plenty ? jobsPerThread : 1
    const own = ({ jobs, urgentJobs }: ModelThread) => (priority === 'query' ? urgentJobs : jobs - urgentJobs)
    /** Jobs that go before a new one. */
    const ahead = (thread: ModelThread) =>
      priority === 'query' ? Math.min(thread.jobs, thread.urgentJobs + 1) : thread.jobs
    return threads
      .filter((thread) => own(thread) < most)
      .sort((a, b) => ahead(a) - ahead(b) || a.busySince - b.busySince)[0]
  }

  #job(texts: readonly Text[], priority: Priority): ModelJob {
    const ids = new Int32Array(texts.reduce((sum, text) => sum + text.ids.length, 0))
    let at = 0
    for (const text of texts) {
      ids.set(text.ids, at)
      at += text.ids.length
    }
    const lengths = texts.map((text) => text.ids.length)
    const crash = this.#crashOn !== undefined && texts.some(({ work }) => work.text === this.#crashOn)
    return {
      task: { ids, lengths, crash },
      transfer: [ids.buffer],
      urgent: priority === 'query',
      done: (vectors) => this.#done(texts, vectors),
      failed: (message) => {
        for (const text of texts) this.#failed(text, message)
      },
      returned: () => {
        for (const text of texts) this.#queues[text.priority].addAgain(text)
      },
    }
  }

  #done(texts: readonly Text[], vectors: Floats): void {
    this.#on.computed(texts)
    texts.forEach((text, at) => {
      // A copy, so that one vector that is kept does not keep the whole batch.
      const vector = vectors.slice(at * this.#dimension, (at + 1) * this.#dimension)
      if (vector.reduce((squares, value) => squares + value * value, 0) > 0) this.#on.vector(text, vector)
      else this.#on.failed(text, withoutDirection(text))
    })
  }

  #failed(text: Text, message: string): void {
    const error = failed(text, message)
    if (error === undefined) this.#queues[text.priority].addAgain(text)
    else this.#on.failed(text, error)
  }

  #keepIfWanted(text: Text): boolean {
    if (text.work.wanted()) return true
    this.#on.dropped(text)
    return false
  }
}

/** Its numbers are none, or all of them 0, as weights of little precision make them of some texts. */
function withoutDirection({ work: { text } }: Text): InvalidInput {
  const message = `The model makes a vector without a direction of a text of ${text.length} characters.`
  return new InvalidInput({ code: 'text_not_embeddable', message })
}
