import type { Store, Table } from './store.ts'

/** How often other processes' writes are looked for while someone waits. */
const pollMs = 25
const counterKey = Buffer.from('appends')

interface Waiter {
  readonly names: ReadonlySet<string>
  readonly wake: () => void
}

export interface Wait {
  readonly grown: Promise<void>
  /** Ends the wait early; `grown` resolves. */
  readonly cancel: () => void
}

/**
 * Wakes who waits for a name (a topic, a channel) to grow: at once for what this process appends, within about 25 ms
 * for what others do. Others are noticed by a counter that every appending transaction moves.
 */
export class Growth {
  readonly #store: Store
  readonly #table: Table
  readonly #waiters = new Set<Waiter>()
  #timer: NodeJS.Timeout | undefined
  #known = 0
  /** Names that the running transaction appended to. */
  readonly #touched = new Set<string>()

  constructor(store: Store) {
    this.#store = store
    this.#table = store.table('counters')
    this.#known = this.#counter()
  }

  /** Inside a transaction. */
  touch(name: string): void {
    this.#touched.add(name)
  }

  /** At the end of a transaction. */
  finish(): void {
    if (this.#touched.size === 0) return
    const counter = Buffer.alloc(8)
    counter.writeDoubleLE(this.#counter() + 1)
    this.#table.putSync(counterKey, counter)
  }

  durable(): void {
    if (this.#touched.size === 0) return
    this.#store.refresh()
    const counter = this.#counter()
    const onlyOurs = counter === this.#known + 1
    this.#known = counter
    for (const waiter of [...this.#waiters])
      if (!onlyOurs || [...this.#touched].some((name) => waiter.names.has(name))) waiter.wake()
    this.#touched.clear()
  }

  undone(): void {
    this.#touched.clear()
  }

  /** Counts from now: begin to wait, then look, and wait on only if nothing was there. */
  wait(names: Iterable<string>, ...signals: readonly AbortSignal[]): Wait {
    const { promise, resolve } = deferred()
    const waiter: Waiter = { names: new Set(names), wake: () => end() }
    const end = () => {
      this.#waiters.delete(waiter)
      for (const signal of signals) signal.removeEventListener('abort', end)
      if (this.#waiters.size === 0) this.#stop()
      resolve()
    }
    this.#waiters.add(waiter)
    for (const signal of signals) {
      signal.addEventListener('abort', end)
      if (signal.aborted) end()
    }
    if (this.#waiters.has(waiter)) this.#timer ??= setInterval(() => this.#poll(), pollMs)
    return { grown: promise, cancel: end }
  }

  close(): void {
    for (const waiter of [...this.#waiters]) waiter.wake()
    this.#stop()
  }

  #stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #poll(): void {
    this.#store.refresh()
    const counter = this.#counter()
    if (counter === this.#known) return
    this.#known = counter
    for (const waiter of [...this.#waiters]) waiter.wake()
  }

  #counter(): number {
    return this.#table.get(counterKey)?.readDoubleLE(0) ?? 0
  }
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {}
  const promise = new Promise<void>((done) => {
    resolve = done
  })
  return { promise, resolve }
}
