import { randomUUID } from 'node:crypto'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { Retryable } from '../../src/core/errors.ts'
import { bytesOf } from './appender.ts'
import { Backlog, inTime } from './backlog.ts'
import { BrokerError, explain, isBatchRefused, isProducerFenced } from './errors.ts'
import { type Share, Transactor, WriteFailed } from './transactor.ts'
import type { WriterParts } from './writer-parts.ts'

const transactionBytes = 16 * 1024 * 1024

interface Job {
  readonly shares: readonly Share[]
  readonly bytes: number
  readonly since: number
  readonly resolve: (offsets: number[][]) => void
  readonly reject: (error: unknown) => void
}

/**
 * Appends to several partitions, or larger than a batch: all of the records or none. What waits while a transaction is under
 * way shares the next one.
 */
export class AtomicAppends {
  readonly #parts: () => Promise<WriterParts>
  /** Of this life of this process alone. */
  readonly #transactionalId = `millrace-append-${randomUUID()}`
  #transactor: Transactor | undefined
  #ready = false
  #waiting: Job[] = []
  readonly #backlog = new Backlog()
  #running: Promise<void> | undefined

  constructor(parts: () => Promise<WriterParts>) {
    this.#parts = parts
  }

  /** The offsets of each share's records. */
  async append(shares: readonly Share[]): Promise<number[][]> {
    const bytes = shares.reduce((sum, { records }) => sum + bytesOf(records), 0)
    this.#backlog.add(bytes)
    try {
      return await new Promise<number[][]>((resolve, reject) => {
        this.#waiting.push({ shares, bytes, since: Date.now(), resolve, reject })
        this.#running ??= this.#drain()
      })
    } finally {
      this.#backlog.remove(bytes)
    }
  }

  /** Waits for what was submitted. */
  async close(): Promise<void> {
    await this.#running
  }

  async #drain(): Promise<void> {
    await nextTurn()
    while (this.#waiting.length > 0) {
      const parts = await this.#parts().catch(() => undefined)
      if (parts && parts.settings.linger > 0) await sleep(parts.settings.linger)
      this.#waiting = inTime(this.#waiting)
      const jobs = this.#take()
      if (jobs.length > 0) await this.#deliver(jobs)
    }
    this.#running = undefined
  }

  #take(): Job[] {
    let bytes = 0
    let count = 0
    for (const job of this.#waiting) {
      if (count > 0 && bytes + job.bytes > transactionBytes) break
      bytes += job.bytes
      count++
    }
    return this.#waiting.splice(0, count)
  }

  /** Every job has its answer afterwards. */
  async #deliver(jobs: readonly Job[]): Promise<void> {
    try {
      const transactor = await this.#begin()
      const offsets = await transactor.write(jobs.flatMap(({ shares }) => shares))
      let at = 0
      for (const { shares, resolve } of jobs) {
        resolve(offsets.slice(at, at + shares.length))
        at += shares.length
      }
    } catch (error) {
      const failed = error instanceof WriteFailed
      if (!failed || !error.aborted) this.#ready = false
      const cause = failed ? error.cause : error
      if (failed && error.aborted && jobs.length > 1 && isBatchRefused(cause)) {
        // One bad append must not take the others with it.
        for (const job of jobs) await this.#deliver([job])
        return
      }
      const refused = failed && error.aborted ? refusedFor(cause, jobs) : jobs
      for (const job of refused) job.reject(refusal(job, cause, failed && error.offsets !== undefined))
      const others = jobs.filter((job) => !refused.includes(job))
      if (others.length > 0) await this.#deliver(others)
    }
  }

  async #begin(): Promise<Transactor> {
    const parts = await this.#parts()
    this.#transactor ??= new Transactor({ ...parts, transactionalId: this.#transactionalId })
    if (!this.#ready) await this.#transactor.takeOver()
    this.#ready = true
    return this.#transactor
  }
}

/** A topic that was deleted, or may not be written to, concerns nobody but those who write to it. */
function refusedFor(cause: unknown, jobs: readonly Job[]): readonly Job[] {
  const topic = cause instanceof BrokerError ? cause.topic : undefined
  if (topic === undefined || explain(cause, '') instanceof Retryable) return jobs
  return jobs.filter(({ shares }) => shares.some((share) => share.topic === topic))
}

function refusal({ shares }: Job, cause: unknown, ambiguous: boolean): unknown {
  const topics = [...new Set(shares.map(({ topic }) => topic))].join(', ')
  // Nobody else uses this id: what looks like it is a coordinator that has given the transaction up.
  if (isProducerFenced(cause))
    return new Retryable({
      code: 'log_unavailable',
      message: `Kafka: appending to ${topics}: the transaction took too long`,
      cause,
    })
  const explained = explain(cause, `appending to ${topics}`)
  if (!ambiguous) return explained
  return new Retryable({
    code: 'log_unavailable',
    message: `${explained.message}; no broker has said whether the records are stored, so a repeated append may double them`,
    cause,
  })
}
