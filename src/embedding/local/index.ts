import { Fatal } from '../../core/errors.ts'
import type { Backend, BackendStats, Work } from '../backend.ts'
import type { Model } from '../models/model.ts'
import type { Warn } from '../warn.ts'
import { availableCores } from './cores.ts'
import { Counting } from './counting.ts'
import { Dispatcher } from './dispatcher.ts'
import type { ModelAnswer, ModelTask, TokenizerAnswer, TokenizerTask } from './messages.ts'
import { Pool } from './pool.ts'
import { newText, type Text } from './text.ts'
import { Tokenizing } from './tokenizing.ts'

export interface LocalBackendOptions {
  readonly model: Model
  /** Threads that run the model, each with a copy of it. `auto`: by the number of cores. */
  readonly workers?: number | 'auto' | undefined
  readonly warn?: Warn | undefined
  /** For tests: a text that ends the thread of the model, or that of the tokenizer, as a crash would. */
  readonly crashOn?: string | undefined
  readonly crashTokenizerOn?: string | undefined
}

const mostModelThreads = 8

/**
 * Computes vectors in this process: one thread turns texts into token ids, others run the model. Returns at once; the
 * threads load meanwhile.
 */
export function openLocalBackend(options: LocalBackendOptions): Backend {
  return new LocalBackend(options)
}

class LocalBackend implements Backend {
  readonly model: string
  readonly fingerprint: string
  readonly dimension: number
  readonly maxTokens: number
  readonly prefixes: Backend['prefixes']
  readonly #texts = new Map<Work, Text>()
  readonly #tokenizing: Tokenizing
  readonly #counting: Counting
  readonly #dispatcher: Dispatcher
  readonly #tokenizer: Pool<TokenizerTask, TokenizerAnswer>
  readonly #models: Pool<ModelTask, ModelAnswer>
  readonly #warn: Warn | undefined
  readonly #totals = { computed: 0, tokens: 0, truncated: 0, batches: 0 }
  #fatal: Fatal | undefined
  #wakes = false

  constructor({ model, workers, warn, crashOn, crashTokenizerOn }: LocalBackendOptions) {
    this.model = model.name
    this.fingerprint = model.fingerprint
    this.dimension = model.dimension
    this.maxTokens = model.maxTokens
    this.prefixes = model.prefixes
    this.#warn = warn
    // What a thread had sent before everything was given up may come afterwards.
    const failed = ({ work }: Text, error: Error) => {
      if (this.#texts.delete(work)) work.failed(error)
    }
    const dropped = ({ work }: Text) => {
      if (this.#texts.delete(work)) work.dropped()
    }
    const fatal = (error: Fatal) => this.#fail(error)
    this.#counting = new Counting(crashTokenizerOn)
    this.#tokenizing = new Tokenizing(crashTokenizerOn, {
      tokenized: (texts) => {
        for (const text of texts) this.#dispatcher.add(text)
        this.#dispatcher.dispatch()
      },
      failed,
      dropped,
    })
    const room = () => this.#send()
    this.#tokenizer = new Pool({ file: '#tokenizer-worker', model, size: 1, warn, fatal, room })
    const size = threadCount(workers)
    const dispatch = () => this.#dispatcher.dispatch()
    this.#models = new Pool({ file: '#embedding-worker', model, size, warn, fatal, room: dispatch })
    this.#dispatcher = new Dispatcher(this.#models, model.dimension, crashOn, {
      computed: (texts) => this.#count(texts),
      vector: ({ work }, vector) => {
        if (this.#texts.delete(work)) work.done(vector)
      },
      failed,
      dropped,
    })
  }

  submit(work: Work): void {
    const fatal = this.#fatal
    if (fatal !== undefined) {
      setImmediate(() => work.failed(fatal))
      return
    }
    const text = newText(work)
    this.#texts.set(work, text)
    this.#tokenizing.add(text)
    this.#wake()
  }

  hurry(work: Work): void {
    const text = this.#texts.get(work)
    if (text === undefined) return
    this.#tokenizing.hurry(text)
    this.#dispatcher.hurry(text)
    this.#wake()
  }

  async countTokens(texts: readonly string[], signal: AbortSignal): Promise<number[]> {
    if (this.#fatal !== undefined) throw this.#fatal
    return await this.#counting.count(texts, signal, () => this.#wake())
  }

  stats(): BackendStats {
    const restarts = this.#models.restarts + this.#tokenizer.restarts
    return { ...this.#totals, threads: this.#models.threads, restarts }
  }

  async close(): Promise<void> {
    await Promise.all([this.#tokenizer.close(), this.#models.close()])
  }

  /** Waits for the end of the turn, so that what is asked together runs together. */
  #wake(): void {
    if (this.#wakes) return
    this.#wakes = true
    setImmediate(() => {
      this.#wakes = false
      this.#send()
      this.#dispatcher.dispatch()
    })
  }

  #send(): void {
    const [thread] = this.#tokenizer.all
    if (thread === undefined) return
    this.#tokenizing.send(thread)
    this.#counting.send(thread)
  }

  #count(texts: readonly Text[]): void {
    const cut = texts.filter(({ truncated }) => truncated).length
    if (cut > 0 && this.#totals.truncated === 0) {
      this.#warn?.(`texts of more than ${this.maxTokens} tokens are embedded only up to there`, {})
    }
    this.#totals.batches++
    this.#totals.computed += texts.length
    this.#totals.tokens += texts.reduce((sum, { ids }) => sum + ids.length, 0)
    this.#totals.truncated += cut
  }

  #fail({ code, message, cause }: Fatal): void {
    const error = new Fatal({ code, message: `${message} Once that is mended, start this process again.`, cause })
    this.#fatal = error
    this.#tokenizer.end()
    this.#models.end()
    this.#counting.failAll(error)
    const texts = [...this.#texts.keys()]
    this.#texts.clear()
    for (const work of texts) work.failed(error)
  }
}

/** One core stays with the main thread where there are more than two. */
function threadCount(workers: number | 'auto' | undefined): number {
  if (typeof workers === 'number') return Math.max(1, Math.floor(workers))
  const cores = availableCores()
  return cores <= 2 ? cores : Math.min(mostModelThreads, cores - 1)
}
