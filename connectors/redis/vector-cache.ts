import type { VectorCache } from '../../src/core/vector-cache.ts'
import { type Connection, within } from './connection.ts'

export interface VectorCacheOptions {
  /** Milliseconds after which a vector is forgotten. Default 30 days. */
  readonly keepMs?: number | undefined
  /** The longest that anyone waits for an answer. Default 100 ms: about what computing takes. */
  readonly timeoutMs?: number | undefined
  /** How long the cache is left alone after a failure. Default 5 s. */
  readonly pauseMs?: number | undefined
}

/** Vectors that wait to be stored, at most; what comes on top is left out. */
const mostWaiting = 4_096
const perRequest = 256
const gatherMs = 10

/**
 * Embeddings in Redis, a text value of raw Float32 bytes (little endian) under each key. With `maxmemory-policy volatile-lru`
 * those that are not used make room first. After a failure or a late answer nothing is asked or stored for a while, so
 * that a server in trouble costs no one more than one moment in so many seconds.
 */
export class RedisVectorCache implements VectorCache {
  readonly #connection: Connection
  readonly #keepMs: number
  readonly #timeoutMs: number
  readonly #pauseMs: number
  readonly #waiting = new Map<string, Float32Array>()
  #storing: Promise<void> | undefined
  #openAt = 0

  constructor(connection: Connection, options: VectorCacheOptions = {}) {
    this.#connection = connection
    this.#keepMs = options.keepMs ?? 30 * 24 * 60 * 60 * 1000
    this.#timeoutMs = options.timeoutMs ?? 100
    this.#pauseMs = options.pauseMs ?? 5_000
  }

  async get(keys: readonly string[]): Promise<(Float32Array | undefined)[]> {
    const found: (Float32Array | undefined)[] = keys.map((key) => this.#waiting.get(key))
    if (keys.length === 0) return found
    const stored = await this.#unlessBroken(() => this.#fetch(keys.map((key) => this.#key(key))))
    return found.map((vector, index) => vector ?? vectorOf(stored?.[index]))
  }

  set(key: string, vector: Float32Array): void {
    if (this.#waiting.size >= mostWaiting || this.#isBroken) return
    this.#waiting.set(key, vector)
    this.#storing ??= this.#store().finally(() => {
      this.#storing = undefined
    })
  }

  async close(): Promise<void> {
    await this.#storing
  }

  get #isBroken(): boolean {
    return performance.now() < this.#openAt
  }

  /** Ends when nothing waits any more. */
  async #store(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, gatherMs))
    while (this.#waiting.size > 0) {
      const entries = [...this.#waiting].slice(0, perRequest)
      const done = await this.#unlessBroken(() =>
        Promise.all(
          entries.map(([key, vector]) =>
            this.#connection.bytes('set', [this.#key(key), bytesOf(vector), 'PX', this.#keepMs]),
          ),
        ),
      )
      if (done === undefined) this.#waiting.clear()
      for (const [key] of entries) this.#waiting.delete(key)
    }
  }

  async #fetch(names: readonly string[]): Promise<readonly unknown[]> {
    // Keys of a cluster lie on many servers, and one command may not name them all.
    if (this.#connection.clustered) return Promise.all(names.map((name) => this.#connection.bytes('get', [name])))
    const reply = await this.#connection.bytes('mget', names)
    return Array.isArray(reply) ? reply : []
  }

  async #unlessBroken<T>(work: () => Promise<T>): Promise<T | undefined> {
    if (this.#isBroken) return undefined
    try {
      return await within(work(), this.#timeoutMs)
    } catch {
      this.#openAt = performance.now() + this.#pauseMs
      return undefined
    }
  }

  #key(key: string): string {
    return `${this.#connection.prefix}:vector:${key}`
  }
}

function bytesOf(vector: Float32Array): Buffer {
  return Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength)
}

/** Copied, because a Float32Array has to begin at a multiple of four. */
function vectorOf(stored: unknown): Float32Array | undefined {
  if (!Buffer.isBuffer(stored) || stored.length % 4 !== 0) return undefined
  return new Float32Array(new Uint8Array(stored).buffer)
}
