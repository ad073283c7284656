import { mkdir } from 'node:fs/promises'
import type { Database, RootDatabase } from 'lmdb'
import { errorCode, errorMessage } from '../core/errors.ts'
import type { Warn } from './warn.ts'

export interface DiskCacheOptions {
  readonly folder: string
  readonly maxBytes: number
  readonly dimension: number
  readonly warn?: Warn | undefined
}

/** Bytes that an entry takes beside its vector in LMDB, half-filled pages included. */
const overhead = 700
/** Puts between two looks at how full the young generation is. */
const putsPerCheck = 512
const commitDelayMs = 250
const generationKey = 'generation'

/**
 * Vectors by key on disk, in two generations: puts go to the young one, hits in the old one are carried over, and when
 * the young one holds half of what is allowed the old one is emptied and they change places. So what is used stays,
 * without any bookkeeping on a hit. Several processes may share the folder.
 */
export class DiskCache {
  readonly #root: RootDatabase<number, string>
  readonly #generations: readonly [Database<Buffer, string>, Database<Buffer, string>]
  readonly #maxEntries: number
  readonly #bytes: number
  readonly #warn: Warn | undefined
  #untilCheck = putsPerCheck
  #turning: Promise<void> | undefined
  #broken = false

  private constructor(root: RootDatabase<number, string>, { maxBytes, dimension, warn }: DiskCacheOptions) {
    this.#root = root
    const open = (name: string) => root.openDB<Buffer, string>({ name, encoding: 'binary' })
    this.#generations = [open('vectors-0'), open('vectors-1')]
    this.#bytes = dimension * Float32Array.BYTES_PER_ELEMENT
    this.#maxEntries = Math.max(1, Math.floor(maxBytes / 2 / (this.#bytes + overhead)))
    this.#warn = warn
  }

  /** Undefined, with a warning where one is due, when vectors cannot be kept on disk: a cache is never needed. */
  static async open(options: DiskCacheOptions): Promise<DiskCache | undefined> {
    try {
      const { open } = await import('lmdb')
      await mkdir(options.folder, { recursive: true })
      const root = open<number, string>({ path: options.folder, maxDbs: 3, commitDelay: commitDelayMs })
      return new DiskCache(root, options)
    } catch (error) {
      if (errorCode(error) === 'ERR_MODULE_NOT_FOUND') return undefined
      report(options.warn, error)
      return undefined
    }
  }

  get(key: string): Float32Array | undefined {
    if (this.#broken) return undefined
    const young = this.#young()
    const found = this.#generations[young].get(key)
    if (found !== undefined) return this.#vector(found)
    const old = this.#generations[other(young)].get(key)
    const vector = old === undefined ? undefined : this.#vector(old)
    if (vector !== undefined) this.set(key, vector)
    return vector
  }

  set(key: string, vector: Float32Array): void {
    if (this.#broken) return
    const bytes = Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength)
    this.#generations[this.#young()].put(key, bytes).catch((error: unknown) => this.#give(error))
    this.#untilCheck--
    if (this.#untilCheck <= 0) this.#turnIfFull()
  }

  /** Entries in both generations. */
  get size(): number {
    return entryCount(this.#generations[0]) + entryCount(this.#generations[1])
  }

  /** Waits until what was put is written. */
  async settled(): Promise<void> {
    await this.#turning
    await this.#root.committed
  }

  async close(): Promise<void> {
    await this.settled()
    await this.#root.close()
  }

  #young(): 0 | 1 {
    return (this.#root.get(generationKey) ?? 0) % 2 === 0 ? 0 : 1
  }

  #turnIfFull(): void {
    this.#untilCheck = putsPerCheck
    const young = this.#young()
    if (this.#turning !== undefined || entryCount(this.#generations[young]) < this.#maxEntries) return
    this.#turning = this.#turn(young)
      .catch((error: unknown) => this.#give(error))
      .finally(() => {
        this.#turning = undefined
      })
  }

  async #turn(young: 0 | 1): Promise<void> {
    await this.#generations[other(young)].clearAsync()
    await this.#root.put(generationKey, other(young))
  }

  /** A copy of its own: LMDB's buffers are its memory map. Undefined for what another version may have left. */
  #vector(bytes: Buffer): Float32Array | undefined {
    if (bytes.byteLength !== this.#bytes) return undefined
    return new Float32Array(new Uint8Array(bytes).buffer)
  }

  #give(error: unknown): void {
    if (!this.#broken) report(this.#warn, error)
    this.#broken = true
  }
}

function other(generation: 0 | 1): 0 | 1 {
  return generation === 0 ? 1 : 0
}

function entryCount(database: Database<Buffer, string>): number {
  const stats: object = database.getStats()
  return 'entryCount' in stats && typeof stats.entryCount === 'number' ? stats.entryCount : 0
}

function report(warn: Warn | undefined, error: unknown): void {
  warn?.('vectors are not kept on disk and will be computed anew after a restart', { error: errorMessage(error) })
}
