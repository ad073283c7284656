import { setImmediate as turn } from 'node:timers/promises'

/** How long the main thread is held at a stretch, milliseconds. */
const sliceMs = 8
/** The clock is looked at once for so many steps. */
const steps = 16

/** Work in slices, so that nothing else waits long for a piece of work that takes long. */
export class Slices {
  #started = performance.now()
  #steps = 0

  /** Whether what was done since the last pause has taken long enough. */
  get over(): boolean {
    if (++this.#steps % steps !== 0) return false
    return performance.now() - this.#started >= sliceMs
  }

  async pause(): Promise<void> {
    await turn()
    this.#started = performance.now()
  }
}
