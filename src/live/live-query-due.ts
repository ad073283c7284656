/** Remembers that something is to be done, until someone who waits for it does it. */
export class Due {
  readonly #signal: AbortSignal
  #set = false
  #wake: () => void = () => undefined

  constructor(signal: AbortSignal) {
    this.#signal = signal
    signal.addEventListener('abort', () => this.#wake(), { once: true })
  }

  set(): void {
    this.#set = true
    this.#wake()
  }

  /** Waits until it is set, for so many milliseconds at most, or until the signal fires; then it is set no more. */
  async wait(milliseconds: number | undefined): Promise<void> {
    if (!this.#set && !this.#signal.aborted) {
      await new Promise<void>((resolve) => {
        const timer = milliseconds === undefined ? undefined : setTimeout(resolve, milliseconds)
        timer?.unref()
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    this.#set = false
  }
}
