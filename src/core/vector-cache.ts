/**
 * Vectors by key that processes share, so that each text is computed once for all of them. It is never needed: it answers
 * within a moment or not at all, and it never throws.
 */
export interface VectorCache {
  /** The vector of each key, by index; undefined for what is not there or did not come in time. */
  get(keys: readonly string[]): Promise<(Float32Array | undefined)[]>
  /** Does not wait; what cannot be stored soon is left out. */
  set(key: string, vector: Float32Array): void
  /** Waits until what was set is stored or left out. */
  close(): Promise<void>
}
