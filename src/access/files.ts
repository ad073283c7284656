import { stat } from 'node:fs/promises'

/** Milliseconds between two looks at the same files. */
const lookEvery = 1_000

/**
 * What is made of files, made anew when they have changed: keys and certificates are replaced under a running process. What
 * cannot be read or used then is told, and what was made before stays.
 */
export class FollowedFiles<T> {
  readonly #paths: readonly string[]
  readonly #make: () => Promise<T>
  readonly #failed: (error: unknown) => void
  #current: T
  #state: string
  #looked = performance.now()
  #looking: Promise<T> | undefined

  private constructor(
    paths: readonly string[],
    make: () => Promise<T>,
    failed: (error: unknown) => void,
    current: T,
    state: string,
  ) {
    this.#paths = paths
    this.#make = make
    this.#failed = failed
    this.#current = current
    this.#state = state
  }

  /** Throws what `make` throws. */
  static async open<T>(
    paths: readonly string[],
    make: () => Promise<T>,
    failed: (error: unknown) => void,
  ): Promise<FollowedFiles<T>> {
    const state = await stateOf(paths)
    return new FollowedFiles(paths, make, failed, await make(), state)
  }

  /** As the files are now, or were a moment ago. */
  async get(): Promise<T> {
    if (performance.now() - this.#looked < lookEvery) return this.#current
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  async #look(): Promise<T> {
    this.#looked = performance.now()
    const state = await stateOf(this.#paths)
    if (state === this.#state) return this.#current
    try {
      this.#current = await this.#make()
      this.#state = state
    } catch (error) {
      // Files that are replaced one after the other do not fit together for a moment: they are looked at again.
      this.#failed(error)
    }
    return this.#current
  }
}

async function stateOf(paths: readonly string[]): Promise<string> {
  const states = paths.map(async (path) => {
    const found = await stat(path).catch(() => undefined)
    return found && [found.mtimeMs, found.size, found.ino]
  })
  return JSON.stringify(await Promise.all(states))
}
