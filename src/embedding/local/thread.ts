import { createRequire } from 'node:module'
import { Worker } from 'node:worker_threads'
import { Fatal } from '../../core/errors.ts'
import { unusable } from '../models/files.ts'
import type { Model } from '../models/model.ts'
import type { Order, Reply, ThreadData } from './messages.ts'

/** A task with what becomes of it. One of `done`, `failed` and `returned` is called, once, unless the thread is closed. */
export interface Job<Task, Answer> {
  readonly task: Task
  /** Handed over, not copied. */
  readonly transfer: readonly ArrayBuffer[]
  /** It goes before what is not. */
  readonly urgent: boolean
  done(answer: Answer): void
  /** It threw an error, or its thread ended in the midst of it. */
  failed(message: string): void
  /** The thread ended before it began. */
  returned(): void
}

export interface ThreadEvents {
  ready(): void
  /** A job is done or has failed. */
  answered(): void
  /** All of its jobs have been told. `Fatal`: no thread will do better. `busy`: it was at a job. */
  ended(error: Error, busy: boolean): void
}

/** How long a thread may take to finish what it is at before it is stopped by force. */
const closeMs = 5_000

/** One worker thread, and the jobs that it has. */
export class WorkerThread<Task, Answer> {
  readonly #worker: Worker
  readonly #running = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
  readonly #jobs = new Map<number, Job<Task, Answer>>()
  readonly #on: ThreadEvents
  readonly #exit: Promise<void>
  #lastId = 0
  #urgent = 0
  #ready = false
  #closing = false
  #busySince = 0
  #error: Error | undefined

  /** `file`: an import of the package. */
  constructor(file: string, model: Model, on: ThreadEvents) {
    this.#on = on
    const workerData: ThreadData = { model, running: this.#running }
    this.#worker = new Worker(createRequire(import.meta.url).resolve(file), { workerData })
    this.#worker.on('message', (reply: Reply<Answer>) => this.#take(reply))
    this.#worker.on('error', (error) => {
      this.#error = error
    })
    this.#exit = new Promise((resolve) => {
      // What the thread has sent before its end comes first.
      this.#worker.on('exit', (code) => {
        if (!this.#closing) this.#end(this.#error ?? new Error(`it ended with exit code ${code}`))
        resolve()
      })
    })
  }

  get ready(): boolean {
    return this.#ready
  }

  /** Jobs that it has: one runs, the others wait. */
  get jobs(): number {
    return this.#jobs.size
  }

  get urgentJobs(): number {
    return this.#urgent
  }

  /** When it began the job that it is at; what `performance.now()` said then. */
  get busySince(): number {
    return this.#busySince
  }

  run(job: Job<Task, Answer>): void {
    if (this.#jobs.size === 0) this.#busySince = performance.now()
    const id = ++this.#lastId
    this.#jobs.set(id, job)
    if (job.urgent) this.#urgent++
    this.#send({ kind: 'task', id, urgent: job.urgent, task: job.task }, job.transfer)
  }

  /**
   * Lets it finish what it is at and free its model; it reads the order once the model is loaded. Stopped by force while
   * onnxruntime loads one, it would take the process with it. Jobs that it has not begun are forgotten.
   */
  async close(): Promise<void> {
    this.#closing = true
    const timer = setTimeout(() => void this.#worker.terminate(), closeMs)
    this.#send({ kind: 'close' }, [])
    await this.#exit
    clearTimeout(timer)
  }

  /** Ends it at once, whatever it is doing. */
  async terminate(): Promise<void> {
    await this.#worker.terminate()
  }

  #send(order: Order<Task>, transfer: readonly ArrayBuffer[]): void {
    this.#worker.postMessage(order, transfer)
  }

  #take(reply: Reply<Answer>): void {
    if (reply.kind === 'ready') {
      this.#ready = true
      this.#on.ready()
    } else if (reply.kind === 'unusable') this.#error = unusable(reply.message)
    else {
      const job = this.#jobs.get(reply.id)
      this.#jobs.delete(reply.id)
      if (job?.urgent) this.#urgent--
      this.#busySince = performance.now()
      if (reply.kind === 'done') job?.done(reply.answer)
      else job?.failed(reply.message)
      this.#on.answered()
    }
  }

  #end(error: Error): void {
    this.#ready = false
    const running = Atomics.load(this.#running, 0)
    for (const [id, job] of this.#jobs) {
      if (id === running && !(error instanceof Fatal)) job.failed(`its thread ended: ${error.message}`)
      else job.returned()
    }
    this.#jobs.clear()
    this.#on.ended(error, running !== 0)
  }
}
