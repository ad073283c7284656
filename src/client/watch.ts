import { isOffline, onPlatform } from './platform.ts'

export interface Watcher {
  /** Every few seconds. */
  look(now: number): void
  /** There may be a network again, or another one: the machine has slept, or the platform says so. */
  woken(): void
  /** The platform says that there is no network. It need not hold for a server on the same machine. */
  lostNetwork(): void
}

const intervalMs = 5_000
/** The timer is so late only if the machine has slept, or the page was frozen. */
const sleptMs = intervalMs * 3

/** Looks after a connection from when it is wanted until it is not. */
export class Watch {
  readonly #watcher: Watcher
  #timer: ReturnType<typeof setInterval> | undefined
  #looked = 0
  #unlisten: readonly (() => void)[] = []

  constructor(watcher: Watcher) {
    this.#watcher = watcher
  }

  start(): void {
    if (this.#timer) return
    this.#looked = Date.now()
    this.#timer = setInterval(() => this.#look(), intervalMs)
    this.#unlisten = [
      onPlatform('online', () => this.#watcher.woken()),
      onPlatform('offline', () => this.#watcher.lostNetwork()),
    ]
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    for (const unlisten of this.#unlisten) unlisten()
    this.#unlisten = []
  }

  #look(): void {
    const now = Date.now()
    const slept = now - this.#looked > sleptMs
    this.#looked = now
    this.#watcher.look(now)
    if (slept && !isOffline()) this.#watcher.woken()
  }
}
