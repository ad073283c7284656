import { Pace } from './pace.ts'

/** What one caller wants written, and how it is told. */
interface Waiting<Request, Answer> {
  readonly request: Request
  readonly size: number
  readonly resolve: (answer: Answer) => void
  readonly reject: (reason: unknown) => void
}

/** A group of this size costs about as much for its rows as for being a write. */
const worthAWrite = 500

/**
 * One writer at a time, with group commit: what arrives while a write is in flight, or while the writer rests, goes
 * into the next one. Callers bound the queue, as each lane has one write in flight.
 */
export class GroupWriter<Request, Answer> {
  readonly #commit: (requests: readonly Request[]) => Promise<readonly Answer[]>
  readonly #limit: number
  readonly #waiting: Waiting<Request, Answer>[] = []
  readonly #alone: (() => Promise<void>)[] = []
  readonly #pace: Pace
  #running: Promise<void> | undefined
  #wake: (() => void) | undefined
  #draining = false

  /**
   * `commit` writes several requests as one and answers each, by index. `limit`: size of a group at which it is closed.
   * `longestRestMs`: how long a group that is small may have to wait at most.
   */
  constructor(
    limit: number,
    longestRestMs: number,
    commit: (requests: readonly Request[]) => Promise<readonly Answer[]>,
  ) {
    this.#limit = limit
    this.#pace = new Pace(longestRestMs)
    this.#commit = commit
  }

  write(request: Request, size: number): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ request, size, resolve, reject })
      this.#start()
    })
  }

  /** Runs something else before the next group, while nothing is being written. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#alone.push(() => work().then(resolve, reject))
      this.#start()
    })
  }

  /** Resolves once everything handed in so far is written. */
  async drained(): Promise<void> {
    this.#draining = true
    this.#wake?.()
    while (this.#running !== undefined) await this.#running
    this.#draining = false
  }

  #start(): void {
    this.#running ??= this.#run()
    this.#wake?.()
  }

  async #run(): Promise<void> {
    // A turn of the event loop, so that calls made together share the first group too.
    await Promise.resolve()
    while (this.#alone.length > 0 || this.#waiting.length > 0) {
      const work = this.#alone.shift()
      if (work !== undefined) await work()
      else if (this.#mayWrite) await this.#writeGroup()
      else await this.#somethingNew()
    }
    // In the same turn as the check above, so that nothing is handed in between and left lying.
    this.#running = undefined
  }

  get #mayWrite(): boolean {
    if (this.#draining || this.#pace.restMs === 0) return true
    return this.#waiting.reduce((sum, { size }) => sum + size, 0) >= worthAWrite
  }

  /** Until the rest is over, or there is something new to decide on. */
  async #somethingNew(): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      timer = setTimeout(resolve, this.#pace.restMs)
    })
    clearTimeout(timer)
    this.#wake = undefined
  }

  async #writeGroup(): Promise<void> {
    let size = 0
    let count = 0
    for (const waiting of this.#waiting) {
      if (count > 0 && size + waiting.size > this.#limit) break
      size += waiting.size
      count++
    }
    const group = this.#waiting.splice(0, count)
    const started = performance.now()
    try {
      const answers = await this.#commit(group.map(({ request }) => request))
      for (const [index, { resolve, reject }] of group.entries()) {
        const answer = answers[index]
        if (answer === undefined) reject(new Error('A write was not answered.'))
        else resolve(answer)
      }
    } catch (error) {
      for (const { reject } of group) reject(error)
    } finally {
      this.#pace.took(performance.now() - started, size)
    }
  }
}
