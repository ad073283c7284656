import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { Retryable } from '../../src/core/errors.ts'
import type { NewRecord } from '../../src/core/event.ts'
import { murmur2 } from '../../src/core/partitioner.ts'
import { Backlog, inTime } from './backlog.ts'
import { encodeRecords, recordBytes } from './batch-writer.ts'
import type { Cluster } from './cluster.ts'
import {
  BrokerError,
  explain,
  isBatchRefused,
  isConnectionLost,
  isCoordinatorMoved,
  isProducerForgotten,
} from './errors.ts'
import { Producer, type Sent } from './producer.ts'
import { initProducer } from './requests.ts'
import type { KafkaSettings } from './settings.ts'
import type { TopicMetadata } from './topic-metadata.ts'

/** Largest batch before compression: what a broker takes unless a topic says otherwise is 1 MiB. */
export const batchBytes = 900_000
const requestBytes = 16 * 1024 * 1024
/** Requests that may be under way side by side; a partition always takes the same way, so one that is held up holds up few others. */
const ways = 16
const unusedTimeoutMs = 60_000
const patienceMs = 30_000

export interface AppenderOptions {
  readonly cluster: Cluster
  readonly topics: TopicMetadata
  readonly settings: Pick<KafkaSettings, 'linger' | 'compression'>
}

interface Job {
  readonly topic: string
  readonly partition: number
  readonly records: readonly NewRecord[]
  readonly bytes: number
  readonly since: number
  readonly resolve: (offset: number) => void
  readonly reject: (error: unknown) => void
}

/**
 * Appends that fit into one batch of one partition. What waits while a request is under way shares the next one; a batch
 * is stored once however often it has to be sent.
 */
export class Appender {
  readonly #pumps: readonly Pump[]
  readonly #backlog = new Backlog()

  constructor(options: AppenderOptions) {
    this.#pumps = Array.from({ length: ways }, () => new Pump(options))
  }

  /** The offset of the first record. Throws `Retryable` when it cannot be said whether the records are stored. */
  async append(topic: string, partition: number, records: readonly NewRecord[]): Promise<number> {
    const bytes = bytesOf(records)
    this.#backlog.add(bytes)
    const way = (murmur2(Buffer.from(`${topic}/${partition}`)) & 0x7fffffff) % ways
    try {
      return await new Promise<number>((resolve, reject) => {
        this.#pumps[way]?.submit({ topic, partition, records, bytes, since: Date.now(), resolve, reject })
      })
    } finally {
      this.#backlog.remove(bytes)
    }
  }

  /** Waits for what was submitted. */
  async close(): Promise<void> {
    await Promise.all(this.#pumps.map((pump) => pump.idle()))
  }
}

class Pump {
  readonly #options: AppenderOptions
  readonly #producer: Producer
  #ready = false
  #waiting: Job[] = []
  #running: Promise<void> | undefined

  constructor(options: AppenderOptions) {
    this.#options = options
    this.#producer = new Producer({ ...options, transactionalId: null })
  }

  submit(job: Job): void {
    this.#waiting.push(job)
    this.#running ??= this.#drain()
  }

  async idle(): Promise<void> {
    await this.#running
  }

  async #drain(): Promise<void> {
    const { linger } = this.#options.settings
    // What is submitted in the same turn of the event loop goes along.
    await (linger > 0 ? sleep(linger) : nextTurn())
    while (this.#waiting.length > 0) {
      this.#waiting = inTime(this.#waiting)
      await this.#deliver(this.#take())
    }
    this.#running = undefined
  }

  /** The jobs of the next request, by partition. */
  #take(): Job[][] {
    const groups = new Map<string, { readonly jobs: Job[]; bytes: number; full: boolean }>()
    const left: Job[] = []
    let total = 0
    for (const job of this.#waiting) {
      const key = `${job.topic}/${job.partition}`
      const group = groups.get(key) ?? { jobs: [], bytes: 0, full: false }
      const fits = group.jobs.length === 0 || group.bytes + job.bytes <= batchBytes
      if (group.full || !fits || (total > 0 && total + job.bytes > requestBytes)) {
        // Those behind it must not overtake it.
        group.full = true
        left.push(job)
      } else {
        group.jobs.push(job)
        group.bytes += job.bytes
        total += job.bytes
      }
      groups.set(key, group)
    }
    this.#waiting = left
    return [...groups.values()].map(({ jobs }) => jobs).filter((jobs) => jobs.length > 0)
  }

  /** Every job has its answer afterwards. */
  async #deliver(groups: readonly (readonly Job[])[], again = false): Promise<void> {
    if (groups.length === 0) return
    let sent: readonly Sent[]
    try {
      await this.#begin()
      sent = await this.#producer.send(await Promise.all(groups.map((jobs) => this.#encode(jobs))))
    } catch (error) {
      for (const job of groups.flat()) job.reject(explain(error, `appending to topic "${job.topic}"`))
      return
    }
    const forgotten: (readonly Job[])[] = []
    const alone: Job[] = []
    for (const [index, jobs] of groups.entries()) {
      const answer = sent[index]
      if (answer === undefined) continue
      if ('offset' in answer) accept(jobs, answer.offset)
      else if (isProducerForgotten(answer.error) && !answer.ambiguous && !again) forgotten.push(jobs)
      else if (isBatchRefused(answer.error) && jobs.length > 1) alone.push(...jobs)
      else this.#refuse(jobs, answer)
    }
    if (forgotten.length > 0) {
      this.#ready = false
      await this.#deliver(forgotten, true)
    }
    // One bad append must not take the others with it.
    for (const job of alone) await this.#deliver([[job]], again)
  }

  async #begin(): Promise<void> {
    if (this.#ready) return
    for (const end = Date.now() + patienceMs; ; ) {
      try {
        const broker = await this.#options.cluster.brokerPool.findConnectedBroker()
        const { errorCode, ...identity } = await initProducer(broker, null, unusedTimeoutMs)
        if (errorCode !== 0) throw new BrokerError(errorCode)
        this.#producer.begin(identity)
        this.#ready = true
        return
      } catch (error) {
        // A broker that is short of ids fetches more; one that is starting answers soon.
        if (!(isCoordinatorMoved(error) || isConnectionLost(error)) || Date.now() > end) throw error
      }
      await sleep(50)
    }
  }

  async #encode(jobs: readonly Job[]) {
    const [{ topic, partition } = { topic: '', partition: 0 }] = jobs
    const records = jobs.length === 1 ? (jobs[0]?.records ?? []) : jobs.flatMap((job) => job.records)
    return { topic, partition, records: await encodeRecords(records, this.#options.settings.compression, Date.now()) }
  }

  #refuse(jobs: readonly Job[], { error, ambiguous }: Exclude<Sent, { offset: number }>): void {
    // The brokers may have counted the batch: with a new identity the next ones cannot be mistaken for it.
    if (ambiguous || isProducerForgotten(error)) this.#ready = false
    for (const job of jobs) job.reject(refusal(job, error, ambiguous))
  }
}

function refusal({ topic }: Job, error: unknown, ambiguous: boolean): unknown {
  // Nobody else has this identity: the brokers have lost count of it, which a new one puts right.
  if (isProducerForgotten(error) && !ambiguous)
    return new Retryable({
      code: 'log_unavailable',
      message: `Kafka: appending to topic "${topic}": the brokers have forgotten this producer`,
      cause: error,
    })
  const explained = explain(error, `appending to topic "${topic}"`)
  if (!ambiguous) return explained
  return new Retryable({
    code: 'log_unavailable',
    message: `${explained.message}; no broker has said whether the records are stored, so a repeated append may double them`,
    cause: error,
  })
}

function accept(jobs: readonly Job[], first: number): void {
  let offset = first
  for (const { records, resolve } of jobs) {
    resolve(offset)
    offset += records.length
  }
}

export function bytesOf(records: readonly NewRecord[]): number {
  return records.reduce((sum, record) => sum + recordBytes(record), 0)
}
