/** Bytes that an entry takes beside its vector, roughly: key, map slot, typed array. */
const overhead = 300

/** The vectors used last, by key, bounded by bytes. */
export class MemoryCache {
  readonly #maxEntries: number
  readonly #vectors = new Map<string, Float32Array>()

  constructor(maxBytes: number, dimension: number) {
    this.#maxEntries = Math.floor(maxBytes / (dimension * Float32Array.BYTES_PER_ELEMENT + overhead))
  }

  get size(): number {
    return this.#vectors.size
  }

  get(key: string): Float32Array | undefined {
    const vector = this.#vectors.get(key)
    if (vector === undefined) return undefined
    this.#vectors.delete(key)
    this.#vectors.set(key, vector)
    return vector
  }

  set(key: string, vector: Float32Array): void {
    this.#vectors.delete(key)
    this.#vectors.set(key, vector)
    if (this.#vectors.size <= this.#maxEntries) return
    const oldest = this.#vectors.keys().next()
    if (oldest.done !== true) this.#vectors.delete(oldest.value)
  }
}
