import type { Purpose } from '../core/embedder.ts'

/** What computes vectors: threads of this process, or a server. It knows nothing of caches or of who asks. */
export interface Backend {
  readonly model: string
  readonly fingerprint: string
  readonly dimension: number
  readonly maxTokens: number
  /** What the model wants before a text, by its purpose. */
  readonly prefixes: Readonly<Record<Purpose, string>>
  /** Takes a text on. What is submitted in one turn runs together. The caller bounds how much is under way. */
  submit(work: Work): void
  /** A text that was submitted as bulk work has become one that someone waits for. Does nothing if it runs already. */
  hurry(work: Work): void
  /** Tokens in each text, special tokens left out, in order. */
  countTokens(texts: readonly string[], signal: AbortSignal): Promise<number[]>
  stats(): BackendStats
  /** Waits for what is running. What has not begun is given up: its `failed` is not called. */
  close(): Promise<void>
}

/** A text on its way to its vector. One of `done`, `failed` and `dropped` is called, once, in a later turn. */
export interface Work {
  /** With its prefix. */
  readonly text: string
  readonly priority: 'query' | 'bulk'
  /** Whether anyone still waits for it. Asked before it is computed. */
  wanted(): boolean
  /** `vector`: of length 1, with memory of its own. */
  done(vector: Float32Array): void
  /**
   * `InvalidInput` (`text_not_embeddable`): this text can never be embedded. `Retryable`: not now. `Fatal`: no text ever
   * will be.
   */
  failed(error: Error): void
  /** Nobody waited for it any more. */
  dropped(): void
}

/** Counted since the start, except what is said to be now. */
export interface BackendStats {
  /** Texts that went through the model, and their tokens. */
  readonly computed: number
  readonly tokens: number
  /** Of these texts, how many were cut at `maxTokens`. */
  readonly truncated: number
  /** Runs of the model, or requests. */
  readonly batches: number
  /** Worker threads now, or requests that may be under way at once; and how many threads were replaced. */
  readonly threads: number
  readonly restarts: number
}
