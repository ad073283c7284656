import { errorMessage, Fatal } from '../../core/errors.ts'
import { unusable } from '../models/files.ts'
import type { Model } from '../models/model.ts'
import type { Warn } from '../warn.ts'
import { WorkerThread } from './thread.ts'

export interface PoolOptions {
  /** What the threads run: an import of the package. */
  readonly file: string
  readonly model: Model
  readonly size: number
  readonly warn: Warn | undefined
  /** A thread is ready, or has done something. */
  room(): void
  /** No thread can do its work. The pool has ended. */
  fatal(error: Fatal): void
}

/** Threads that end this often, loading or idle, with nothing done in between, will not do better the next time. */
const maxFailures = 3

/** Worker threads that do the same. The first is started at once; one that ends is replaced. */
export class Pool<Task, Answer> {
  readonly #options: PoolOptions
  readonly #threads = new Set<WorkerThread<Task, Answer>>()
  #failures = 0
  #restarts = 0
  #closed = false

  constructor(options: PoolOptions) {
    this.#options = options
    this.#start()
  }

  /** All that are there. One that still loads takes jobs too; it begins when it is ready. */
  get all(): WorkerThread<Task, Answer>[] {
    return [...this.#threads]
  }

  /** Those that are loaded. */
  get ready(): WorkerThread<Task, Answer>[] {
    return [...this.#threads].filter((thread) => thread.ready)
  }

  /** Threads now, those that still load included. */
  get threads(): number {
    return this.#threads.size
  }

  get restarts(): number {
    return this.#restarts
  }

  /** There is work for so many more threads. */
  grow(by: number): void {
    let loading = this.#threads.size - this.ready.length
    while (!this.#closed && loading < by && this.#threads.size < this.#options.size) {
      this.#start()
      loading++
    }
  }

  /** Waits for what is running. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#threads].map((thread) => thread.close()))
  }

  /** Ends all threads at once. */
  end(): void {
    this.#closed = true
    for (const thread of this.#threads) void thread.terminate()
    this.#threads.clear()
  }

  #start(): void {
    const { file, model, room } = this.#options
    const thread = new WorkerThread<Task, Answer>(file, model, {
      ready: room,
      answered: () => {
        this.#failures = 0
        room()
      },
      ended: (error, busy) => this.#replace(thread, error, busy),
    })
    this.#threads.add(thread)
  }

  #replace(thread: WorkerThread<Task, Answer>, error: Error, busy: boolean): void {
    this.#threads.delete(thread)
    if (this.#closed) return
    const { warn, fatal, room } = this.#options
    if (!busy) this.#failures++
    if (error instanceof Fatal) {
      fatal(error)
      return
    }
    if (this.#failures >= maxFailures) {
      const advice = 'Check that enough memory is free and that onnxruntime-node is installed for this platform.'
      const message = `the threads of the embedder end before they have done anything: ${error.message}. ${advice}`
      fatal(unusable(message, error))
      return
    }
    this.#restarts++
    warn?.('a thread of the embedder has ended; starting another', { error: errorMessage(error) })
    this.#start()
    room()
  }
}
