export interface EmbedOptions {
  /** `query`: a single text that someone waits for; it overtakes bulk work. Default `bulk`. */
  readonly priority?: 'query' | 'bulk' | undefined
  /**
   * What the texts are: what is looked for, or what is looked through. Some models want the two told apart by a prefix
   * (`query: `, `passage: `), which the embedder puts before them. Default `passage`.
   */
  readonly purpose?: Purpose | undefined
  readonly signal?: AbortSignal | undefined
}

export type Purpose = 'query' | 'passage'

/** Texts to vectors, off the main thread. */
export interface Embedder {
  readonly model: string
  /** Of weights, pooling, prefixes, normalisation and dimension: two embedders with the same one make the same vectors. */
  readonly fingerprint: string
  readonly dimension: number
  /** Longer texts are cut here. */
  readonly maxTokens: number
  /** What is put before each text, by its purpose. */
  readonly prefixes: Readonly<Record<Purpose, string>>
  /**
   * One vector of length 1 for each text, by index. Waits while the queue is full. Throws `Fatal` when the model
   * cannot be loaded (`model_unusable`), `Retryable` when the server that computes is down or busy, and `InvalidInput`
   * (`text_not_embeddable`) when one of the texts can never be embedded.
   */
  embed(texts: readonly string[], options?: EmbedOptions): Promise<Float32Array[]>
  /** Tokens in each text, special tokens left out. Where the model is far away and does not tell, an estimate from above. */
  countTokens(texts: readonly string[]): Promise<number[]>
  close(): Promise<void>
}
