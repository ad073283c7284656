/** One call of `embed`: collects its vectors as they come, in whatever order. */
export class EmbedRequest {
  readonly promise: Promise<Float32Array[]>
  /** Fires when the call is over: complete, failed or given up by its caller. */
  readonly over: AbortSignal
  readonly #end = new AbortController()
  readonly #vectors: Float32Array[]
  readonly #callerSignal: AbortSignal | undefined
  #missing: number
  #resolve: (vectors: Float32Array[]) => void = () => {}
  #reject: (error: unknown) => void = () => {}

  constructor(size: number, signal: AbortSignal | undefined) {
    this.over = this.#end.signal
    this.#vectors = new Array<Float32Array>(size)
    this.#missing = size
    this.#callerSignal = signal
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    // The promise may be rejected while its texts are still being admitted and nobody awaits it yet.
    this.promise.catch(() => {})
    if (signal?.aborted === true) this.fail(signal.reason)
    else signal?.addEventListener('abort', this.#onAbort, { once: true })
    if (size === 0) this.#finish(() => this.#resolve([]))
  }

  settle(index: number, vector: Float32Array): void {
    if (this.over.aborted) return
    this.#vectors[index] = vector
    this.#missing--
    if (this.#missing === 0) this.#finish(() => this.#resolve(this.#vectors))
  }

  fail(error: unknown): void {
    if (!this.over.aborted) this.#finish(() => this.#reject(error))
  }

  readonly #onAbort = () => this.fail(this.#callerSignal?.reason)

  #finish(settle: () => void): void {
    this.#callerSignal?.removeEventListener('abort', this.#onAbort)
    settle()
    this.#end.abort()
  }
}
