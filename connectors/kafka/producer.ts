import { setTimeout as sleep } from 'node:timers/promises'
import { type EncodedRecords, sealBatch } from './batch-writer.ts'
import type { Broker, Cluster } from './cluster.ts'
import { BrokerError, isConnectionLost, isMetadataStale, isTimedOut, kafkaErrorType } from './errors.ts'
import { dropConnections } from './group/connections.ts'
import { type ProducedPartition, type ProducerIdentity, produce } from './requests.ts'
import type { TopicMetadata } from './topic-metadata.ts'

/** One batch for one partition, sent as a whole or not at all. */
export interface Outgoing {
  readonly topic: string
  readonly partition: number
  readonly records: EncodedRecords
}

/** The offset of the batch's first record, or why it was not acknowledged. */
export type Sent =
  | { readonly offset: number }
  | {
      readonly error: unknown
      /** It may be stored nevertheless. */
      readonly ambiguous: boolean
    }

export interface ProducerOptions {
  readonly cluster: Cluster
  readonly topics: TopicMetadata
  readonly transactionalId: string | null
}

interface Attempt {
  readonly index: number
  readonly outgoing: Outgoing
  readonly batch: Buffer
  ambiguous: boolean
}

/** Batches for the same broker. */
interface Request {
  readonly leader: number | undefined
  readonly group: Attempt[]
  bytes: number
}

/** The same batch is offered again: leaders move, replicas catch up, connections come back. */
const passing = [
  'CORRUPT_MESSAGE',
  'REQUEST_TIMED_OUT',
  'NETWORK_EXCEPTION',
  'NOT_ENOUGH_REPLICAS',
  'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
  'CONCURRENT_TRANSACTIONS',
  'GROUP_COORDINATOR_NOT_AVAILABLE',
  'GROUP_LOAD_IN_PROGRESS',
  'NOT_COORDINATOR_FOR_GROUP',
]
/** Refusals after which the records may be in the log all the same. */
const maybeStored = ['REQUEST_TIMED_OUT', 'NOT_ENOUGH_REPLICAS_AFTER_APPEND', 'NETWORK_EXCEPTION']
const patienceMs = 30_000
/** A topic that has just been made may be unknown to some brokers for a moment. */
const unknownTopicMs = 5_000
const [unknownTopic, noLeader] = [3, 5]
const mostSequences = 0x8000_0000
/** What one request carries, unless a single batch is larger. */
const requestBytes = 16 * 1024 * 1024
/** A broker closes the connection on a request of more than 100 MiB (`socket.request.max.bytes`). */
const mostBatchBytes = 100 * 1024 * 1024 - 64 * 1024
const messageTooLarge = 10

/**
 * Sends batches under one identity, numbered by partition, so that the brokers take a batch once however often it is
 * sent. At most one batch of a partition may be under way at a time: callers see to that.
 */
export class Producer {
  readonly #options: ProducerOptions
  #identity: ProducerIdentity = { producerId: '-1', producerEpoch: -1 }
  readonly #sequences = new Map<string, number>()

  constructor(options: ProducerOptions) {
    this.#options = options
  }

  get identity(): ProducerIdentity {
    return this.#identity
  }

  /** A new identity, or epoch, begins all numbers anew. */
  begin(identity: ProducerIdentity): void {
    this.#identity = identity
    this.#sequences.clear()
  }

  /** One answer for each batch, in their order. Tries for half a minute at most. */
  async send(batches: readonly Outgoing[]): Promise<Sent[]> {
    const sent: Sent[] = []
    const began = Date.now()
    let open = batches.map((outgoing, index) => this.#seal(outgoing, index))
    for (let pause = 20; open.length > 0; pause = Math.min(pause * 2, 1000)) {
      const failures = (await this.#sendOnce(open, sent)).filter(({ attempt, error }) => {
        const waited = Date.now() - began
        if (waited < patienceOf(error)) return true
        sent[attempt.index] = { error, ambiguous: attempt.ambiguous }
        return false
      })
      open = failures.map(({ attempt }) => attempt)
      if (open.length === 0) break
      await sleep(pause)
      await this.#options.topics.refresh().catch(() => undefined)
    }
    return sent
  }

  #seal(outgoing: Outgoing, index: number): Attempt {
    const { producerId, producerEpoch } = this.#identity
    const sequence = this.#sequences.get(keyOf(outgoing)) ?? 0
    const transactional = this.#options.transactionalId !== null
    const batch = sealBatch(outgoing.records, { id: producerId, epoch: producerEpoch, sequence, transactional })
    return { index, outgoing, batch, ambiguous: false }
  }

  async #sendOnce(attempts: readonly Attempt[], sent: Sent[]) {
    const failures: { readonly attempt: Attempt; readonly error: unknown }[] = []
    const requests: Request[] = []
    const filling = new Map<number | undefined, Request>()
    for (const attempt of attempts) {
      const { topic } = attempt.outgoing
      const bytes = attempt.batch.length
      if (bytes > mostBatchBytes) {
        failures.push({ attempt, error: new BrokerError(messageTooLarge, null, topic) })
        continue
      }
      const leader = await this.#leaderOf(attempt.outgoing)
      const open = filling.get(leader)
      if (open && open.bytes + bytes <= requestBytes) {
        open.group.push(attempt)
        open.bytes += bytes
      } else {
        const request = { leader, group: [attempt], bytes }
        requests.push(request)
        filling.set(leader, request)
      }
    }
    await Promise.all(
      requests.map(async ({ leader, group }) => {
        const answers = await this.#request(leader, group)
        for (const attempt of group) {
          const answer = answers.get(keyOf(attempt.outgoing))
          if (answer === undefined || answer instanceof Error) {
            failures.push({ attempt, error: answer ?? new Error('the broker left a partition out of its answer') })
            if (isConnectionLost(answer) || maybeStored.includes(kafkaErrorType(answer) ?? '')) attempt.ambiguous = true
          } else {
            sent[attempt.index] = { offset: answer.baseOffset }
            this.#advance(attempt.outgoing)
          }
        }
      }),
    )
    return failures
  }

  async #request(
    leader: number | undefined,
    attempts: readonly Attempt[],
  ): Promise<Map<string, ProducedPartition | Error>> {
    let broker: Broker
    try {
      if (leader === undefined) throw new BrokerError(unknownTopic)
      if (leader < 0) throw new BrokerError(noLeader)
      broker = await this.#options.cluster.findBroker({ nodeId: leader })
    } catch (error) {
      // Nothing was sent, so nothing is ambiguous.
      return same(
        attempts,
        isConnectionLost(error) ? new BrokerError(noLeader, asError(error).message) : asError(error),
      )
    }
    try {
      const batches = attempts.map(({ outgoing, batch }) => ({ ...outgoing, batch }))
      const produced = await produce(broker, this.#options.transactionalId, batches)
      return new Map(
        produced.map((each) => [
          keyOf(each),
          each.errorCode === 0 ? each : new BrokerError(each.errorCode, null, each.topic),
        ]),
      )
    } catch (error) {
      if (isTimedOut(error)) dropConnections(broker)
      return same(attempts, asError(error))
    }
  }

  /** -1 while there is none; `undefined` if there is no such topic. */
  async #leaderOf({ topic, partition }: Outgoing): Promise<number | undefined> {
    const partitions = await this.#options.topics.partitions(topic).catch(() => undefined)
    if (partitions?.length === 0) return undefined
    return partitions?.find(({ partitionId }) => partitionId === partition)?.leader ?? -1
  }

  #advance(outgoing: Outgoing): void {
    const key = keyOf(outgoing)
    this.#sequences.set(key, ((this.#sequences.get(key) ?? 0) + outgoing.records.count) % mostSequences)
  }
}

function patienceOf(error: unknown): number {
  const type = kafkaErrorType(error)
  if (type === 'UNKNOWN_TOPIC_OR_PARTITION') return unknownTopicMs
  return isMetadataStale(error) || isConnectionLost(error) || passing.includes(type ?? '') ? patienceMs : 0
}

function same(attempts: readonly Attempt[], error: Error): Map<string, Error> {
  return new Map(attempts.map(({ outgoing }) => [keyOf(outgoing), error]))
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}

function keyOf({ topic, partition }: { readonly topic: string; readonly partition: number }): string {
  return `${topic}/${partition}`
}
