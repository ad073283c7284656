import { hash } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Embedder, EmbedOptions } from '../core/embedder.ts'
import { type Fatal, MillraceError } from '../core/errors.ts'
import type { VectorCache } from '../core/vector-cache.ts'
import { DiskCache } from './disk-cache.ts'
import { CountWork } from './local/count-work.ts'
import { Dispatcher } from './local/dispatcher.ts'
import type { QueuedText } from './local/queue.ts'
import { type Priority, type QueueBounds, TextWork } from './local/text-work.ts'
import { MemoryCache } from './memory-cache.ts'
import { type Model, readModel } from './models/model.ts'
import { EmbedRequest } from './request.ts'
import type { Warn } from './warn.ts'

export interface EmbedderOptions {
  /** The model's folder. */
  readonly model: string
  /** Worker threads, each with a copy of the model. `auto`: by the number of cores. */
  readonly workers?: number | 'auto' | undefined
  /** Where vectors are kept across restarts, and how many bytes of them. Left out: in memory only. */
  readonly disk?: { readonly folder: string; readonly maxBytes?: number | undefined } | undefined
  /** Vectors that several processes share, in place of the disk. It is closed with the embedder. */
  readonly shared?: VectorCache | undefined
  /** Bytes of vectors kept in memory; 0 keeps none. */
  readonly memoryBytes?: number | undefined
  readonly bounds?: QueueBounds | undefined
  readonly warn?: Warn | undefined
  /** For tests: embedding exactly this text ends its thread, as a crash would. */
  readonly crashOn?: string | undefined
}

/** Counted since the start, except what is said to be now. */
export interface EmbedderStats {
  /** Texts that went through the model, and their tokens. */
  readonly computed: number
  readonly tokens: number
  /** Of these, how many were cut at `maxTokens`. */
  readonly truncated: number
  /** Vectors that were already there. */
  readonly memoryHits: number
  readonly diskHits: number
  readonly sharedHits: number
  /** Texts that were already on their way for someone else. */
  readonly joined: number
  /** Texts that wait or run now. */
  readonly queueDepth: number
  /** Calls that wait for room in the queue now. */
  readonly callersWaiting: number
  /** Worker threads now, and how many were replaced. */
  readonly threads: number
  readonly restarts: number
}

export interface LocalEmbedder extends Embedder {
  stats(): EmbedderStats
}

const defaultMemoryBytes = 64 * 2 ** 20
const defaultDiskBytes = 512 * 2 ** 20
const defaultBounds: QueueBounds = { texts: 4_096, characters: 8 * 2 ** 20 }
/** Characters of a text that are looked at. Any model's limit is reached before; the main thread is not held up by more. */
const longestText = 2 ** 18
/** Texts that one call handles before others get their turn. */
const textsPerTurn = 128
const mostThreads = 8

/**
 * An embedder that runs the model on worker threads of this process. Returns as soon as the model's description is
 * read; the threads load it meanwhile. Throws `Fatal` (`model_unusable`); a fault that only loading finds is thrown by
 * `embed` and `countTokens`. Vectors are shared with the cache: they must not be changed.
 */
export async function createEmbedder(options: EmbedderOptions): Promise<LocalEmbedder> {
  const model = await readModel(options.model)
  const { folder, maxBytes = defaultDiskBytes } = options.disk ?? {}
  const { dimension } = model
  const { warn } = options
  const disk = folder === undefined ? undefined : await DiskCache.open({ folder, maxBytes, dimension, warn })
  return new WorkerEmbedder(model, disk, options)
}

/** Vectors by key that the shared cache had. */
type Found = ReadonlyMap<string, Float32Array>
const noneFound: Found = new Map()

class WorkerEmbedder implements LocalEmbedder {
  readonly model: string
  readonly fingerprint: string
  readonly dimension: number
  readonly maxTokens: number
  readonly #memory: MemoryCache
  readonly #disk: DiskCache | undefined
  readonly #shared: VectorCache | undefined
  readonly #texts: TextWork
  readonly #counts: CountWork
  readonly #dispatcher: Dispatcher
  readonly #end = new AbortController()
  #memoryHits = 0
  #diskHits = 0
  #sharedHits = 0
  #joined = 0

  constructor(model: Model, disk: DiskCache | undefined, options: EmbedderOptions) {
    this.model = model.name
    this.fingerprint = model.fingerprint
    this.dimension = model.dimension
    this.maxTokens = model.maxTokens
    this.#memory = new MemoryCache(options.memoryBytes ?? defaultMemoryBytes, model.dimension)
    this.#disk = disk
    this.#shared = options.shared
    const bounds = options.bounds ?? defaultBounds
    this.#texts = new TextWork(model, bounds, {
      vector: (entry, vector) => this.#keep(entry, vector),
      firstCut: () => options.warn?.(`texts of more than ${model.maxTokens} tokens are embedded only up to there`, {}),
    })
    this.#counts = new CountWork(bounds.characters)
    const jobs = {
      next: (threads: number) =>
        this.#texts.next('query', threads) ?? this.#counts.next() ?? this.#texts.next('bulk', threads),
      waiting: () => this.#texts.jobsWaiting + this.#counts.jobsWaiting,
    }
    const data = { model, crashOn: options.crashOn }
    const fatal = (error: Fatal) => this.#fail(error)
    this.#dispatcher = new Dispatcher(data, threadCount(options.workers), jobs, fatal, options.warn)
  }

  async embed(texts: readonly string[], { priority = 'bulk', signal }: EmbedOptions = {}): Promise<Float32Array[]> {
    this.#end.signal.throwIfAborted()
    const request = new EmbedRequest(texts.length, signal)
    const fail = () => request.fail(this.#end.signal.reason)
    this.#end.signal.addEventListener('abort', fail, { once: true })
    try {
      await this.#enterAll(texts, priority, request)
      return await request.promise
    } finally {
      this.#end.signal.removeEventListener('abort', fail)
    }
  }

  async countTokens(texts: readonly string[]): Promise<number[]> {
    this.#end.signal.throwIfAborted()
    return await this.#counts.count(texts, this.#end.signal, () => this.#dispatcher.wake())
  }

  stats(): EmbedderStats {
    return {
      ...this.#texts.totals,
      memoryHits: this.#memoryHits,
      diskHits: this.#diskHits,
      sharedHits: this.#sharedHits,
      joined: this.#joined,
      queueDepth: this.#texts.depth,
      callersWaiting: this.#texts.callersWaiting,
      threads: this.#dispatcher.threads,
      restarts: this.#dispatcher.restarts,
    }
  }

  async close(): Promise<void> {
    this.#fail(new MillraceError({ code: 'embedder_closed', message: 'the embedder has been closed.' }))
    await this.#dispatcher.close()
    await this.#disk?.close()
    await this.#shared?.close()
  }

  async #enterAll(texts: readonly string[], priority: Priority, request: EmbedRequest): Promise<void> {
    let found = noneFound
    for (let index = 0; index < texts.length && !request.over.aborted; index++) {
      if (index % textsPerTurn === 0) found = await this.#fetch(texts.slice(index, index + textsPerTurn))
      if (index % textsPerTurn === textsPerTurn - 1) await nextTurn()
      const text = (texts[index] ?? '').slice(0, longestText)
      const key = this.#key(text)
      if (this.#answer(text, key, found, priority, request, index)) continue
      if (!this.#texts.tryEnter(text, priority)) {
        this.#dispatcher.wake()
        const entered = await this.#texts.enter(text, priority, request.over).then(
          () => true,
          () => false,
        )
        if (!entered) return
        // While this call waited, the same text may have come in from elsewhere.
        if (this.#answer(text, key, found, priority, request, index)) {
          this.#texts.leave(text, priority)
          continue
        }
      }
      this.#texts.add(text, key, priority, request, index)
    }
    this.#dispatcher.wake()
  }

  /** Answers from the caches or joins a text that is on its way. */
  #answer(text: string, key: string, found: Found, priority: Priority, request: EmbedRequest, index: number): boolean {
    const vector = this.#cached(key, found)
    if (vector !== undefined) {
      request.settle(index, vector)
      return true
    }
    const joined = this.#texts.join(text, priority, request, index)
    if (joined) this.#joined++
    return joined
  }

  /** What others have computed of these texts; asked for as a whole, for one question takes as long as a hundred. */
  async #fetch(texts: readonly string[]): Promise<Found> {
    if (this.#shared === undefined) return noneFound
    const keys = texts.map((text) => this.#key(text.slice(0, longestText)))
    const missing = [...new Set(keys)].filter((key) => this.#memory.get(key) === undefined)
    if (missing.length === 0) return noneFound
    const vectors = await this.#shared.get(missing)
    const found = new Map<string, Float32Array>()
    for (const [index, key] of missing.entries()) {
      const vector = vectors[index]
      if (vector?.length === this.dimension) found.set(key, vector)
    }
    return found
  }

  #cached(key: string, found: Found): Float32Array | undefined {
    const inMemory = this.#memory.get(key)
    if (inMemory !== undefined) {
      this.#memoryHits++
      return inMemory
    }
    const onDisk = this.#disk?.get(key)
    if (onDisk !== undefined) {
      this.#diskHits++
      this.#memory.set(key, onDisk)
      return onDisk
    }
    const shared = found.get(key)
    if (shared === undefined) return undefined
    this.#sharedHits++
    this.#memory.set(key, shared)
    return shared
  }

  #keep({ key }: QueuedText, vector: Float32Array): void {
    this.#memory.set(key, vector)
    this.#disk?.set(key, vector)
    this.#shared?.set(key, vector)
  }

  #key(text: string): string {
    return hash('sha256', `${this.fingerprint}\n${text}`, 'base64')
  }

  #fail(error: Error): void {
    if (this.#end.signal.aborted) return
    this.#end.abort(error)
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
