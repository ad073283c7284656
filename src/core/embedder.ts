export interface EmbedOptions {
  /** `query`: a single text that someone waits for; it overtakes bulk work. Default `bulk`. */
  readonly priority?: 'query' | 'bulk' | undefined
  readonly signal?: AbortSignal | undefined
}

/** Texts to vectors, off the main thread. */
export interface Embedder {
  readonly model: string
  /** Of weights, pooling, normalisation and dimension: two embedders with the same one make the same vectors. */
  readonly fingerprint: string
  readonly dimension: number
  /** Longer texts are cut here. */
  readonly maxTokens: number
  /**
   * One vector of length 1 for each text, by index. Waits while the queue is full. Throws `Fatal` when the model
   * cannot be loaded (`model_unusable`).
   */
  embed(texts: readonly string[], options?: EmbedOptions): Promise<Float32Array[]>
  /** Tokens in each text, special tokens left out. */
  countTokens(texts: readonly string[]): Promise<number[]>
  close(): Promise<void>
}
