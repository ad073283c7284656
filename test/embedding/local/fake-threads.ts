import type { ModelJob, ModelThread, ModelThreads } from '../../../src/embedding/local/dispatcher.ts'
import { Turns } from '../../../src/embedding/local/turns.ts'

/** Stands for a worker thread, and takes turns as one does; it does something only when it is told to. */
export class FakeThread implements ModelThread {
  busySince = 0
  running: ModelJob | undefined
  readonly #turns = new Turns<ModelJob>()
  #waiting: ModelJob[] = []

  get jobs(): number {
    return this.all.length
  }

  get urgentJobs(): number {
    return this.all.filter(({ urgent }) => urgent).length
  }

  get all(): ModelJob[] {
    return [...(this.running === undefined ? [] : [this.running]), ...this.#waiting]
  }

  run(job: ModelJob): void {
    this.#turns.add(job, job.urgent)
    this.#waiting.push(job)
    if (this.running === undefined) this.#begin()
  }

  /** Finishes what it runs: each vector has one number, the sum of the text's ids. */
  finish(): void {
    const job = this.#end()
    if (job === undefined) return
    const { ids, lengths } = job.task
    let at = 0
    const sums = lengths.map((length) => {
      at += length
      return ids.subarray(at - length, at).reduce((sum, id) => sum + id, 0)
    })
    job.done(Float32Array.from(sums))
  }

  /** What it runs throws an error. */
  fail(): void {
    this.#end()?.failed('it threw')
  }

  /** Ends; another thread takes its place. */
  die(): void {
    const { running } = this
    const waiting = this.#waiting
    this.running = undefined
    this.#waiting = []
    while (this.#turns.next() !== undefined);
    running?.failed('its thread ended')
    for (const job of waiting) job.returned()
  }

  #end(): ModelJob | undefined {
    const job = this.running
    this.running = undefined
    this.busySince++
    this.#begin()
    return job
  }

  #begin(): void {
    this.running = this.#turns.next()
    this.#waiting = this.#waiting.filter((job) => job !== this.running)
  }
}

export class FakeThreads implements ModelThreads {
  readonly ready: FakeThread[]

  constructor(size: number) {
    this.ready = Array.from({ length: size }, () => new FakeThread())
  }

  grow(): void {}
}
