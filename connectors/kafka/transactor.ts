import { setTimeout as sleep } from 'node:timers/promises'
import type { NewRecord } from '../../src/core/event.ts'
import { batchBytes } from './appender.ts'
import { encodeRecords, recordBytes } from './batch-writer.ts'
import type { Broker, Cluster } from './cluster.ts'
import {
  BrokerError,
  isConnectionLost,
  isCoordinatorMoved,
  isMetadataStale,
  isProducerFenced,
  isTimedOut,
  isTransactionPending,
  kafkaErrorType,
} from './errors.ts'
import { dropConnections } from './group/connections.ts'
import { Producer } from './producer.ts'
import { addPartitionsToTxn, initProducer } from './requests.ts'
import type { KafkaSettings } from './settings.ts'
import type { TopicMetadata } from './topic-metadata.ts'

export interface TransactorOptions {
  readonly cluster: Cluster
  readonly topics: TopicMetadata
  readonly settings: Pick<KafkaSettings, 'compression'>
  readonly transactionalId: string
}

/** Records for one partition, as many as one likes. */
export interface Share {
  readonly topic: string
  readonly partition: number
  readonly records: readonly NewRecord[]
}

/** A coordinator ends what is open for longer, so that readers of committed records are not held up for ever. */
const transactionTimeoutMs = 60_000
const patienceMs = 30_000
/** A topic that has just been made may be unknown to some brokers for a moment. */
const unknownTopicMs = 5_000

/**
 * Writes transactions under one transactional id, one at a time. After anything but a success or a clean abort it is of no
 * more use until `takeOver` or `recover` has settled what was open.
 */
export class Transactor {
  readonly #options: TransactorOptions
  readonly #producer: Producer
  #coordinator: Broker | undefined
  /** A batch of an aborted transaction may be counted by a broker: its number must not be used for another one. */
  #uncertain = false

  constructor(options: TransactorOptions) {
    this.#options = options
    this.#producer = new Producer(options)
  }

  /** Fences whoever wrote under this id before, and waits until its open transaction has ended. */
  async takeOver(): Promise<void> {
    await this.#init(undefined)
  }

  /** The same for the owner itself: throws an error that `isProducerFenced` if another one has taken over meanwhile. */
  async recover(): Promise<void> {
    await this.#init(this.#producer.identity)
  }

  /**
   * Stores all or nothing. The offsets of the records of each share, in order. Throws `WriteFailed`, or an error that
   * `isProducerFenced`.
   */
  async write(shares: readonly Share[]): Promise<number[][]> {
    const offsets = shares.map((): number[] => [])
    if (this.#uncertain) await this.#begin()
    try {
      await this.#join(shares)
      for (const round of await this.#rounds(shares)) {
        const sent = await this.#producer.send(round.map(({ outgoing }) => outgoing))
        for (const [index, { share, outgoing }] of round.entries()) {
          const answer = sent[index]
          if (answer === undefined) throw new Error('a batch has no answer')
          if ('error' in answer) throw answer.error
          for (let each = 0; each < outgoing.records.count; each++) offsets[share]?.push(answer.offset + each)
        }
      }
    } catch (error) {
      this.#uncertain = true
      if (isProducerFenced(error)) throw error
      throw new WriteFailed(error, await this.#abort())
    }
    try {
      await this.#end(true)
      return offsets
    } catch (error) {
      if (isProducerFenced(error)) throw error
      throw new WriteFailed(error, false, offsets)
    }
  }

  async #init(current: Parameters<typeof initProducer>[3]): Promise<void> {
    const { errorCode: _, ...identity } = await this.#ask(async (coordinator) => {
      const answer = await initProducer(coordinator, this.#options.transactionalId, transactionTimeoutMs, current)
      if (answer.errorCode !== 0) throw new BrokerError(answer.errorCode)
      return answer
    })
    this.#producer.begin(identity)
    this.#uncertain = false
  }

  async #begin(): Promise<void> {
    try {
      await this.recover()
    } catch (error) {
      if (isProducerFenced(error)) throw error
      throw new WriteFailed(error, true)
    }
  }

  async #join(shares: readonly Share[]): Promise<void> {
    const partitions = new Map<string, number[]>()
    for (const { topic, partition } of shares) partitions.set(topic, [...(partitions.get(topic) ?? []), partition])
    const topics = [...partitions].map(([topic, list]) => ({ topic, partitions: [...new Set(list)] }))
    const { transactionalId } = this.#options
    await this.#ask((coordinator) => addPartitionsToTxn(coordinator, transactionalId, this.#producer.identity, topics))
  }

  async #end(commit: boolean): Promise<void> {
    const { transactionalId } = this.#options
    await this.#ask((coordinator) =>
      coordinator.endTxn({ transactionalId, ...this.#producer.identity, transactionResult: commit }),
    )
  }

  async #abort(): Promise<boolean> {
    try {
      await this.#end(false)
      return true
    } catch (error) {
      // It had not even begun.
      return kafkaErrorType(error) === 'INVALID_TXN_STATE'
    }
  }

  /** Batches by rounds: one batch of each partition at a time. */
  async #rounds(shares: readonly Share[]) {
    const now = Date.now()
    const rounds: { readonly share: number; readonly outgoing: Parameters<Producer['send']>[0][number] }[][] = []
    /** How many rounds each partition takes part in already: two shares may be for the same one. */
    const next = new Map<string, number>()
    for (const [share, { topic, partition, records }] of shares.entries()) {
      for (const part of cut(records)) {
        const key = `${topic}/${partition}`
        const at = next.get(key) ?? 0
        next.set(key, at + 1)
        const encoded = await encodeRecords(part, this.#options.settings.compression, now)
        rounds[at] = [...(rounds[at] ?? []), { share, outgoing: { topic, partition, records: encoded } }]
      }
    }
    return rounds
  }

  /** Asks the coordinator, wherever it is, until it can answer. All that is asked here may be asked again. */
  async #ask<T>(request: (coordinator: Broker) => Promise<T>): Promise<T> {
    const began = Date.now()
    for (let pause = 2; ; pause = Math.min(pause * 2, 500)) {
      try {
        this.#coordinator ??= await this.#options.cluster.findGroupCoordinator({
          groupId: this.#options.transactionalId,
          coordinatorType: 1,
        })
        return await request(this.#coordinator)
      } catch (error) {
        const patience = kafkaErrorType(error) === 'UNKNOWN_TOPIC_OR_PARTITION' ? unknownTopicMs : patienceMs
        if (!isPassing(error) || Date.now() - began > patience) {
          if (!isTransactionPending(error)) this.#coordinator = undefined
          throw error
        }
        if (!isTransactionPending(error)) {
          if (this.#coordinator && isTimedOut(error)) dropConnections(this.#coordinator)
          this.#coordinator = undefined
          pause = Math.max(pause, 50)
          await this.#options.topics.refresh().catch(() => undefined)
        }
      }
      await sleep(pause)
    }
  }
}

/** A transaction that did not come about. */
export class WriteFailed extends Error {
  /** Nothing of it is stored. Otherwise that is open until the producer is initialised again. */
  readonly aborted: boolean
  /** Where the records are, if the commit came about after all. */
  readonly offsets: number[][] | undefined

  constructor(cause: unknown, aborted: boolean, offsets?: number[][]) {
    super('the transaction failed', { cause })
    this.name = 'WriteFailed'
    this.aborted = aborted
    this.offsets = offsets
  }
}

function isPassing(error: unknown): boolean {
  return (
    isTransactionPending(error) ||
    isCoordinatorMoved(error) ||
    isConnectionLost(error) ||
    isMetadataStale(error) ||
    kafkaErrorType(error) === 'REQUEST_TIMED_OUT'
  )
}

/** Parts that fit into a batch each; a record that is larger has a part of its own. */
export function cut(records: readonly NewRecord[]): NewRecord[][] {
  const parts: NewRecord[][] = []
  let bytes = Number.POSITIVE_INFINITY
  for (const record of records) {
    const size = recordBytes(record)
    if (bytes + size > batchBytes) {
      parts.push([])
      bytes = 0
    }
    parts.at(-1)?.push(record)
    bytes += size
  }
  return parts
}
