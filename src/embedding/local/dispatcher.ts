import { errorMessage, Fatal } from '../../core/errors.ts'
import { unusable } from '../models/model.ts'
import type { Warn } from '../warn.ts'
import type { Reply, Task, ThreadData } from './messages.ts'
import { ModelThread, ThreadDied } from './thread.ts'

/** Work for one thread. Either `done` or `failed` is called, once. */
export interface Job {
  readonly task: Task
  done(reply: Reply): void
  failed(message: string): void
}

export interface JobSource {
  /** The next job, fitted to the number of threads that could share what waits. */
  next(threads: number): Job | undefined
  /** How many jobs wait, roughly; 0 only if none does. */
  waiting(): number
}

/** A thread that dies this often while it loads will not load the next time either. */
const maxLoadFailures = 3

/**
 * Runs jobs on worker threads. The first thread is started at once, the others when there is more work than threads. A
 * thread that dies is replaced.
 */
export class Dispatcher {
  readonly #data: ThreadData
  readonly #maxThreads: number
  readonly #jobs: JobSource
  readonly #warn: Warn | undefined
  readonly #threads = new Set<ModelThread>()
  readonly #idle: ModelThread[] = []
  readonly #running = new Set<Promise<void>>()
  #loading = 0
  #loadFailures = 0
  #restarts = 0
  #wakes = false
  #closed = false
  readonly #onFatal: (error: Fatal) => void

  constructor(
    data: ThreadData,
    maxThreads: number,
    jobs: JobSource,
    onFatal: (error: Fatal) => void,
    warn: Warn | undefined,
  ) {
    this.#data = data
    this.#maxThreads = maxThreads
    this.#jobs = jobs
    this.#onFatal = onFatal
    this.#warn = warn
    this.#start()
  }

  get threads(): number {
    return this.#threads.size
  }

  get restarts(): number {
    return this.#restarts
  }

  /** To be called when there is work. Waits for the end of the turn, so that what is asked together runs together. */
  wake(): void {
    if (this.#wakes || this.#closed) return
    this.#wakes = true
    setImmediate(() => {
      this.#wakes = false
      this.#dispatch()
    })
  }

  /** Waits for the jobs that are running and ends the threads. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all(this.#running)
    await Promise.all([...this.#threads].map((thread) => thread.close()))
  }

  #dispatch(): void {
    while (!this.#closed && this.#idle.length > 0) {
      const job = this.#jobs.next(this.#maxThreads)
      const thread = job === undefined ? undefined : this.#idle.pop()
      if (job === undefined || thread === undefined) return
      const run = this.#run(thread, job).finally(() => this.#running.delete(run))
      this.#running.add(run)
    }
    while (!this.#closed && this.#jobs.waiting() > this.#loading && this.#threads.size < this.#maxThreads) this.#start()
  }

  #start(): void {
    const thread = new ModelThread(this.#data)
    this.#threads.add(thread)
    this.#loading++
    thread.loaded.then(
      () => {
        this.#loading--
        this.#loadFailures = 0
        this.#idle.push(thread)
        this.#dispatch()
      },
      (error: unknown) => this.#loadFailed(thread, error),
    )
  }

  #loadFailed(thread: ModelThread, error: unknown): void {
    this.#threads.delete(thread)
    this.#loading--
    if (this.#closed) return
    this.#loadFailures++
    const message = errorMessage(error)
    if (error instanceof Fatal) this.#giveUp(error)
    else if (this.#loadFailures >= maxLoadFailures) {
      const advice = 'Check that enough memory is free and that onnxruntime-node is installed for this platform.'
      this.#giveUp(unusable(`${message} each time it was to load the model. ${advice}`, error))
    } else {
      this.#warn?.('an embedding thread died while loading; starting another', { error: message })
      this.#start()
    }
  }

  #giveUp(error: Fatal): void {
    this.#closed = true
    this.#onFatal(error)
  }

  async #run(thread: ModelThread, job: Job): Promise<void> {
    try {
      const reply = await thread.run(job.task)
      if (reply.kind === 'failed') job.failed(reply.message)
      else job.done(reply)
      this.#idle.push(thread)
    } catch (error) {
      this.#threads.delete(thread)
      if (!(error instanceof ThreadDied)) throw error
      this.#restarts++
      this.#warn?.('an embedding thread died; starting another', { error: error.message })
      job.failed(error.message)
    }
    this.#dispatch()
  }
}
