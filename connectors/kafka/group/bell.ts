/** Wakes whoever waits for something to change. */
export class Bell {
  readonly #waiting = new Set<() => void>()

  ring(): void {
    for (const wake of [...this.#waiting]) wake()
  }

  /** Resolves when it rings, when one of the signals fires, or when the time is over. */
  next(signals: readonly AbortSignal[], longestMs?: number): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer)
        for (const signal of signals) signal.removeEventListener('abort', end)
        this.#waiting.delete(end)
        resolve()
      }
      const timer = longestMs === undefined ? undefined : setTimeout(end, longestMs)
      for (const signal of signals) signal.addEventListener('abort', end)
      this.#waiting.add(end)
      if (signals.some(({ aborted }) => aborted)) end()
    })
  }
}
