import { hash } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Embedder, EmbedOptions } from '../core/embedder.ts'
import { Fatal, MillraceError } from '../core/errors.ts'
import type { VectorCache } from '../core/vector-cache.ts'
import type { Backend, BackendStats } from './backend.ts'
import { DiskCache } from './disk-cache.ts'
import { InFlight, type Priority, type QueueBounds } from './in-flight.ts'
import { MemoryCache } from './memory-cache.ts'
import { EmbedRequest } from './request.ts'
import type { Warn } from './warn.ts'

export interface EmbedderOptions {
  /** What computes the vectors. It is closed with the embedder. */
  readonly backend: Backend
  /** Where vectors are kept across restarts, and how many bytes of them. Left out: in memory only. */
  readonly disk?: { readonly folder: string; readonly maxBytes?: number | undefined } | undefined
  /** Vectors that several processes share, in place of the disk. It is closed with the embedder. */
  readonly shared?: VectorCache | undefined
  /** Bytes of vectors kept in memory; 0 keeps none. */
  readonly memoryBytes?: number | undefined
  readonly bounds?: QueueBounds | undefined
  readonly warn?: Warn | undefined
  /** Told once when a `Fatal` of the backend has ended the embedder. */
  readonly ended?: ((error: Fatal) => void) | undefined
}

/** Counted since the start, except what is said to be now. */
export interface EmbedderStats extends BackendStats {
  /** Vectors that were already there. */
  readonly memoryHits: number
  readonly diskHits: number
  readonly sharedHits: number
  /** Texts that were already on their way for someone else. */
  readonly joined: number
  /** Texts that were neither there nor on their way. */
  readonly misses: number
  /** Texts that wait or run now. */
  readonly queueDepth: number
  /** Calls that wait for room in the queue now. */
  readonly callersWaiting: number
}

export interface CachingEmbedder extends Embedder {
  stats(): EmbedderStats
}

const defaultMemoryBytes = 64 * 2 ** 20
const defaultDiskBytes = 512 * 2 ** 20
const defaultBounds: QueueBounds = { texts: 4_096, characters: 8 * 2 ** 20 }
/** Characters of a text that are looked at. Any model's limit is reached before; the main thread is not held up by more. */
const longestText = 2 ** 18
/** Texts, and about as many characters of them, that one call handles before others get their turn. */
const textsPerTurn = 128
const charactersPerTurn = 2 ** 18

/**
 * An embedder over a backend, with caches in front of it. Identical texts are computed once. Vectors are shared with the
 * cache: they must not be changed. A `Fatal` of the backend ends it: from then on every call throws that error.
 */
export async function createEmbedder(options: EmbedderOptions): Promise<CachingEmbedder> {
  const { folder, maxBytes = defaultDiskBytes } = options.disk ?? {}
  const { dimension } = options.backend
  const { warn } = options
  const disk = folder === undefined ? undefined : await DiskCache.open({ folder, maxBytes, dimension, warn })
  return new FrontEmbedder(disk, options)
}

/** One text of a call, as it is computed. */
interface Entry {
  readonly index: number
  /** With its prefix. */
  readonly text: string
  /** In the caches. */
  readonly key: string
}

/** Vectors by key that the shared cache had. */
type Found = ReadonlyMap<string, Float32Array>
const noneFound: Found = new Map()

class FrontEmbedder implements CachingEmbedder {
  readonly model: string
  readonly fingerprint: string
  readonly dimension: number
  readonly maxTokens: number
  readonly prefixes: Backend['prefixes']
  readonly #backend: Backend
  readonly #memory: MemoryCache
  readonly #disk: DiskCache | undefined
  readonly #shared: VectorCache | undefined
  readonly #inFlight: InFlight
  readonly #end = new AbortController()
  readonly #ended: EmbedderOptions['ended']
  readonly #totals = { memoryHits: 0, diskHits: 0, sharedHits: 0, joined: 0, misses: 0 }

  constructor(disk: DiskCache | undefined, options: EmbedderOptions) {
    const { backend } = options
    // Each call under way listens for the end.
    setMaxListeners(0, this.#end.signal)
    this.model = backend.model
    this.fingerprint = backend.fingerprint
    this.dimension = backend.dimension
    this.maxTokens = backend.maxTokens
    this.prefixes = backend.prefixes
    this.#backend = backend
    this.#memory = new MemoryCache(options.memoryBytes ?? defaultMemoryBytes, backend.dimension)
    this.#disk = disk
    this.#shared = options.shared
    this.#ended = options.ended
    this.#inFlight = new InFlight(backend, options.bounds ?? defaultBounds, {
      computed: (key, vector) => this.#keep(key, vector),
      failed: (error) => this.#endIfFatal(error),
    })
  }

  async embed(texts: readonly string[], options: EmbedOptions = {}): Promise<Float32Array[]> {
    const { priority = 'bulk', purpose = 'passage', signal } = options
    this.#end.signal.throwIfAborted()
    const request = new EmbedRequest(texts.length, signal)
    const fail = () => request.fail(this.#end.signal.reason)
    this.#end.signal.addEventListener('abort', fail, { once: true })
    try {
      await this.#enterAll(texts, this.#backend.prefixes[purpose], priority, request)
      return await request.promise
    } finally {
      this.#end.signal.removeEventListener('abort', fail)
    }
  }

  async countTokens(texts: readonly string[]): Promise<number[]> {
    this.#end.signal.throwIfAborted()
    try {
      return await this.#backend.countTokens(texts, this.#end.signal)
    } catch (error) {
      this.#endIfFatal(error)
      throw error
    }
  }

  stats(): EmbedderStats {
    return {
      ...this.#backend.stats(),
      ...this.#totals,
      queueDepth: this.#inFlight.size,
      callersWaiting: this.#inFlight.callersWaiting,
    }
  }

  async close(): Promise<void> {
    this.#end.abort(new MillraceError({ code: 'embedder_closed', message: 'the embedder has been closed.' }))
    await this.#backend.close()
    await this.#disk?.close()
    await this.#shared?.close()
  }

  #endIfFatal(error: unknown): void {
    if (!(error instanceof Fatal) || this.#end.signal.aborted) return
    this.#end.abort(error)
    this.#ended?.(error)
  }

  async #enterAll(texts: readonly string[], prefix: string, priority: Priority, request: EmbedRequest): Promise<void> {
    for (let from = 0, to = 0; from < texts.length; from = to) {
      if (from > 0) await nextTurn()
      to = endOfTurn(texts, from)
      const entries = texts.slice(from, to).map((text, at): Entry => {
        // Half a surrogate pair is no text: no other program could read it.
        const whole = (prefix + text.slice(0, longestText)).toWellFormed()
        return { index: from + at, text: whole, key: this.#key(whole) }
      })
      const found = this.#shared === undefined ? noneFound : await this.#fetch(this.#shared, entries)
      for (const entry of entries) {
        if (request.over.aborted) return
        if (this.#answer(entry, found, priority, request)) continue
        if (!this.#inFlight.tryEnter(entry.text, priority)) {
          if (!(await this.#waitForRoom(entry, priority, request))) return
          // While this call waited, the same text may have come in from elsewhere.
          if (this.#answer(entry, found, priority, request)) {
            this.#inFlight.leave(entry.text, priority)
            continue
          }
        }
        this.#totals.misses++
        this.#inFlight.start(entry.key, entry.text, priority, request, entry.index)
      }
    }
  }

  /** False if the call is over; then there is no room for its text. */
  async #waitForRoom({ text }: Entry, priority: Priority, request: EmbedRequest): Promise<boolean> {
    const entered = await this.#inFlight.enter(text, priority, request.over).then(
      () => true,
      () => false,
    )
    if (!entered || !request.over.aborted) return entered
    this.#inFlight.leave(text, priority)
    return false
  }

  /** Answers from the caches or joins a text that is on its way. */
  #answer({ key, index }: Entry, found: Found, priority: Priority, request: EmbedRequest): boolean {
    const vector = this.#cached(key, found)
    if (vector !== undefined) {
      request.settle(index, vector)
      return true
    }
    const joined = this.#inFlight.join(key, priority, request, index)
    if (joined) this.#totals.joined++
    return joined
  }

  /** What others have computed of these texts; asked for as a whole, for one question takes as long as a hundred. */
  async #fetch(shared: VectorCache, entries: readonly Entry[]): Promise<Found> {
    const keys = new Set(entries.map(({ key }) => key))
    const missing = [...keys].filter((key) => this.#memory.get(key) === undefined)
    if (missing.length === 0) return noneFound
    const vectors = await shared.get(missing)
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
      this.#totals.memoryHits++
      return inMemory
    }
    const onDisk = this.#disk?.get(key)
    const vector = onDisk ?? found.get(key)
    if (vector === undefined) return undefined
    if (onDisk === undefined) this.#totals.sharedHits++
    else this.#totals.diskHits++
    this.#memory.set(key, vector)
    return vector
  }

  #keep(key: string, vector: Float32Array): void {
    this.#memory.set(key, vector)
    this.#disk?.set(key, vector)
    this.#shared?.set(key, vector)
  }

  #key(text: string): string {
    return hash('sha256', `${this.fingerprint}\n${text}`, 'base64')
  }
}

/** Before which text a turn ends that begins with this one. */
function endOfTurn(texts: readonly string[], from: number): number {
  let to = from
  for (let characters = 0; to < texts.length && to - from < textsPerTurn && characters < charactersPerTurn; to++) {
    characters += Math.min(texts[to]?.length ?? 0, longestText)
  }
  return to
}
