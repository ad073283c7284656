import { availableParallelism } from 'node:os'
import type { Fatal } from '../../core/errors.ts'
import type { Backend, BackendStats, Work } from '../backend.ts'
import type { Model } from '../models/model.ts'
import type { Warn } from '../warn.ts'
import { CountWork } from './count-work.ts'
import { Dispatcher } from './dispatcher.ts'
import { TextWork } from './text-work.ts'

export interface LocalBackendOptions {
  readonly model: Model
  /** Worker threads, each with a copy of the model. `auto`: by the number of cores. */
  readonly workers?: number | 'auto' | undefined
  readonly warn?: Warn | undefined
  /** For tests: embedding exactly this text ends its thread, as a crash would. */
  readonly crashOn?: string | undefined
}

const mostThreads = 8
/** Characters that wait or run for their tokens to be counted. */
const charactersCounted = 8 * 2 ** 20

/** Runs the model on worker threads of this process. Returns at once; the threads load the model meanwhile. */
export function openLocalBackend(options: LocalBackendOptions): Backend {
  return new LocalBackend(options)
}

class LocalBackend implements Backend {
  readonly model: string
  readonly fingerprint: string
  readonly dimension: number
  readonly maxTokens: number
  readonly prefixes: Backend['prefixes']
  readonly #texts: TextWork
  readonly #counts = new CountWork(charactersCounted)
  readonly #dispatcher: Dispatcher
  #fatal: Fatal | undefined

  constructor({ model, workers, warn, crashOn }: LocalBackendOptions) {
    this.model = model.name
    this.fingerprint = model.fingerprint
    this.dimension = model.dimension
    this.maxTokens = model.maxTokens
    this.prefixes = model.prefixes
    this.#texts = new TextWork(model, {
      firstCut: () => warn?.(`texts of more than ${model.maxTokens} tokens are embedded only up to there`, {}),
    })
    const jobs = {
      next: (threads: number) =>
        this.#texts.next('query', threads) ?? this.#counts.next() ?? this.#texts.next('bulk', threads),
      waiting: () => this.#texts.jobsWaiting + this.#counts.jobsWaiting,
    }
    const fail = (error: Fatal) => this.#fail(error)
    this.#dispatcher = new Dispatcher({ model, crashOn }, threadCount(workers), jobs, fail, warn)
  }

  submit(work: Work): void {
    const fatal = this.#fatal
    if (fatal !== undefined) {
      setImmediate(() => work.failed(fatal))
      return
    }
    this.#texts.add(work)
    this.#dispatcher.wake()
  }

  hurry(work: Work): void {
    this.#texts.hurry(work)
  }

  async countTokens(texts: readonly string[], signal: AbortSignal): Promise<number[]> {
    if (this.#fatal !== undefined) throw this.#fatal
    const end = () => this.#counts.failAll(signal.reason)
    signal.addEventListener('abort', end, { once: true })
    try {
      return await this.#counts.count(texts, signal, () => this.#dispatcher.wake())
    } finally {
      signal.removeEventListener('abort', end)
    }
  }

  stats(): BackendStats {
    const { threads, restarts } = this.#dispatcher
    return { ...this.#texts.totals, threads, restarts }
  }

  async close(): Promise<void> {
    await this.#dispatcher.close()
  }

  #fail(error: Fatal): void {
    this.#fatal = error
    this.#texts.failAll(error)
    this.#counts.failAll(error)
  }
}

/** One core stays with the main thread where there are more than two. */
function threadCount(workers: number | 'auto' | undefined): number {
  if (typeof workers === 'number') return Math.max(1, Math.floor(workers))
  const cores = availableParallelism()
  return cores <= 2 ? cores : Math.min(mostThreads, cores - 1)
}
