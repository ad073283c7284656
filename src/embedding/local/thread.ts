import { createRequire } from 'node:module'
import { Worker } from 'node:worker_threads'
import { unusable } from '../models/model.ts'
import type { Reply, Task, ThreadData } from './messages.ts'

/** The thread ended without an answer. What it was doing may be tried again on another one. */
export class ThreadDied extends Error {}

interface Waiting {
  resolve(reply: Reply): void
  reject(error: Error): void
}

/** How long a thread may take to finish and to free its model before it is stopped by force. */
const closeMs = 2_000

/** One worker thread with a model of its own. */
export class ModelThread {
  /** Rejects with `Fatal` (`model_unusable`) or `ThreadDied`. */
  readonly loaded: Promise<void>
  readonly #worker: Worker
  #waiting: Waiting | undefined
  #loading = true
  #ended = false

  constructor(data: ThreadData) {
    this.#worker = new Worker(createRequire(import.meta.url).resolve('#embedding-worker'), { workerData: data })
    this.#worker.on('message', (reply: Reply) => this.#settle((waiting) => waiting.resolve(reply)))
    this.#worker.on('error', (error) => this.#end(new ThreadDied(`the embedding thread failed: ${error.message}`)))
    this.#worker.on('exit', (code) => this.#end(new ThreadDied(`the embedding thread ended with exit code ${code}`)))
    this.loaded = this.#reply().then((reply) => {
      this.#loading = false
      if (reply.kind === 'unusable') throw unusable(reply.message)
    })
    this.loaded.catch(() => {})
  }

  /** One task at a time. Rejects with `ThreadDied`. */
  run(task: Task): Promise<Reply> {
    const reply = this.#reply()
    if (!this.#ended) this.#worker.postMessage(task)
    return reply
  }

  /** Frees the model and ends the thread. To be called between two tasks. */
  async close(): Promise<void> {
    if (this.#ended) return
    if (this.#loading) return this.terminate()
    const timer = setTimeout(() => void this.#worker.terminate(), closeMs)
    await this.run({ kind: 'close' }).catch(() => {})
    clearTimeout(timer)
  }

  /** Ends the thread at once, whatever it is doing. */
  async terminate(): Promise<void> {
    await this.#worker.terminate()
  }

  #reply(): Promise<Reply> {
    if (this.#ended) return Promise.reject(new ThreadDied('the embedding thread has ended'))
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
    })
  }

  #end(error: ThreadDied): void {
    this.#ended = true
    this.#settle((waiting) => waiting.reject(error))
  }

  #settle(how: (waiting: Waiting) => void): void {
    const waiting = this.#waiting
    this.#waiting = undefined
    if (waiting !== undefined) how(waiting)
  }
}
