import { Fatal, MillraceError, Retryable } from '../../src/core/errors.ts'

/** How much a write may take of the last room on the disk: `append` leaves a reserve, `essential` may use it. */
export type Importance = 'append' | 'essential'

interface Job {
  readonly bytes: number
  readonly importance: Importance
  /** Runs inside the transaction and keeps its own result. */
  readonly run: () => void
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

interface Backend {
  /** Runs a function in one transaction and resolves once it is durable; if the function throws, nothing is kept. */
  readonly transaction: (run: () => void) => Promise<void>
  /** Throws if this many bytes cannot be taken. */
  readonly admit: (bytes: number, importance: Importance) => void
  readonly explain: (error: unknown) => MillraceError
}

/** A transaction takes this much at most, so that none holds the others up for long. */
const bytesPerCommit = 16 * 1024 * 1024
/** What may wait before further writes are refused. */
const bytesWaiting = 256 * 1024 * 1024

/**
 * Many concurrent writes, one durable commit: whatever is waiting when a transaction begins becomes part of it, and
 * what arrives while it is flushed goes into the next one.
 */
export class GroupCommit {
  readonly #backend: Backend
  #waiting: Job[] = []
  #waitingBytes = 0
  #running: Promise<void> | undefined
  #closed = false
  hooks = { finish: () => {}, durable: () => {}, undone: () => {} }

  constructor(backend: Backend) {
    this.#backend = backend
  }

  submit<T>(bytes: number, importance: Importance, run: () => T): Promise<T> {
    if (this.#closed) return Promise.reject(closedError())
    if (this.#waitingBytes > 0 && this.#waitingBytes + bytes > bytesWaiting)
      return Promise.reject(
        new Retryable({
          code: 'log_unavailable',
          message: `the log is ${bytesWaiting >> 20} MiB behind in writing: try again shortly`,
          delayMs: 100,
        }),
      )
    return new Promise<T>((resolve, reject) => {
      let result: { readonly value: T } | undefined
      this.#waiting.push({
        bytes,
        importance,
        run: () => {
          result = { value: run() }
        },
        resolve: () => {
          if (result) resolve(result.value)
        },
        reject,
      })
      this.#waitingBytes += bytes
      this.#running ??= this.#drain()
    })
  }

  /** Waits for what has been submitted; nothing is taken afterwards. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#running
  }

  async #drain(): Promise<void> {
    // Never before the caller has its promise.
    await Promise.resolve()
    while (this.#waiting.length > 0) await this.#commit()
    this.#running = undefined
  }

  async #commit(): Promise<void> {
    let jobs: Job[] = []
    const failed = new Map<Job, MillraceError>()
    try {
      await this.#backend.transaction(() => {
        jobs = this.#take(failed)
        for (const job of jobs) attempt(job, failed)
        this.hooks.finish()
      })
    } catch (error) {
      this.hooks.undone()
      // Without jobs the transaction could not even begin: those that wait are told.
      if (jobs.length === 0) jobs = this.#takeAll()
      const explained = this.#backend.explain(error)
      for (const job of jobs) job.reject(failed.get(job) ?? explained)
      return
    }
    this.hooks.durable()
    for (const job of jobs) {
      const error = failed.get(job)
      if (error) job.reject(error)
      else job.resolve()
    }
  }

  /** The jobs for one transaction. Those for which there is no room are answered at once. */
  #take(failed: Map<Job, MillraceError>): Job[] {
    const jobs: Job[] = []
    let bytes = 0
    for (const job of this.#waiting) {
      if (jobs.length > 0 && bytes + job.bytes > bytesPerCommit) break
      jobs.push(job)
      try {
        this.#backend.admit(bytes + job.bytes, job.importance)
        bytes += job.bytes
      } catch (error) {
        failed.set(job, this.#backend.explain(error))
      }
      this.#waitingBytes -= job.bytes
    }
    this.#waiting.splice(0, jobs.length)
    return jobs
  }

  #takeAll(): Job[] {
    this.#waitingBytes = 0
    return this.#waiting.splice(0)
  }
}

function attempt(job: Job, failed: Map<Job, MillraceError>): void {
  if (failed.has(job)) return
  try {
    job.run()
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error
    failed.set(job, error)
  }
}

export function closedError(): Fatal {
  return new Fatal({ code: 'log_closed', message: 'the embedded log is closed' })
}
