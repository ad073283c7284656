import type Broker from 'kafkajs/src/broker/index.js'
import { BrokerError } from './errors.ts'
import { decodeFetchAnswer, type FetchedPartition } from './group/fetch-answer.ts'
import { protocolRequest, type WireReader, WireWriter } from './wire.ts'

/*
 * Requests that kafkajs does not know, knows only in old versions, or answers without telling which part failed.
 * Layouts: kafka.apache.org/protocol. All of these versions are in Kafka from 2.5 on, and in 4.x.
 */

export interface ProducedPartition {
  readonly topic: string
  readonly partition: number
  readonly errorCode: number
  readonly baseOffset: number
}

export interface ProduceBatch {
  readonly topic: string
  readonly partition: number
  /** One sealed batch. */
  readonly batch: Buffer
}

const produceTimeoutMs = 20_000

/** Produce, version 7, with acknowledgement by all replicas in sync. At most one batch for each partition. */
export async function produce(
  broker: Broker,
  transactionalId: string | null,
  batches: readonly ProduceBatch[],
): Promise<ProducedPartition[]> {
  const topics = new Map<string, ProduceBatch[]>()
  for (const each of batches) topics.set(each.topic, [...(topics.get(each.topic) ?? []), each])
  const body = new WireWriter().string(transactionalId).int16(-1).int32(produceTimeoutMs)
  body.array([...topics], ([topic, partitions]) => {
    body.string(topic).array(partitions, ({ partition, batch }) => body.int32(partition).bytes(batch))
  })
  const read = (answer: WireReader) =>
    answer
      .array(() => {
        const topic = answer.string() ?? ''
        return answer.array(() => {
          const [partition, errorCode, baseOffset] = [answer.int32(), answer.int16(), answer.int64()]
          answer.skip(16)
          return { topic, partition, errorCode, baseOffset }
        })
      })
      .flat()
  return broker.connectionPool.send(
    protocolRequest({ apiKey: 0, apiVersion: 7, apiName: 'Produce', body, read, timeout: produceTimeoutMs + 10_000 }),
  )
}

export interface ProducerIdentity {
  readonly producerId: string
  readonly producerEpoch: number
}

/**
 * InitProducerId, version 3. With the identity that the producer has, it gets the next epoch only if it has not been fenced
 * (KIP-360); without, it fences whoever had the transactional id.
 */
export async function initProducer(
  broker: Broker,
  transactionalId: string | null,
  timeoutMs: number,
  current: ProducerIdentity = { producerId: '-1', producerEpoch: -1 },
): Promise<ProducerIdentity & { readonly errorCode: number }> {
  const noTags = 0
  const body = new WireWriter()
    .unsignedVarint(noTags)
    .compactString(transactionalId)
    .int32(timeoutMs)
    .int64(BigInt(current.producerId))
    .int16(current.producerEpoch)
    .unsignedVarint(noTags)
  const read = (answer: WireReader) => {
    // The tags of the header, of which there are none, and the time of throttling.
    answer.skip(1 + 4)
    return { errorCode: answer.int16(), producerId: String(answer.int64()), producerEpoch: answer.int16() }
  }
  return broker.connectionPool.send(
    protocolRequest({ apiKey: 22, apiVersion: 3, apiName: 'InitProducerId', body, read }),
  )
}

export interface TopicPartitions {
  readonly topic: string
  readonly partitions: readonly number[]
}

/**
 * AddPartitionsToTxn, version 1. If one of the partitions cannot be added none is: throws what is wrong with that one, not
 * that the others were not attempted.
 */
export async function addPartitionsToTxn(
  broker: Broker,
  transactionalId: string,
  { producerId, producerEpoch }: ProducerIdentity,
  topics: readonly TopicPartitions[],
): Promise<void> {
  const body = new WireWriter().string(transactionalId).int64(BigInt(producerId)).int16(producerEpoch)
  body.array(topics, ({ topic, partitions }) => {
    body.string(topic).array(partitions, (partition) => body.int32(partition))
  })
  const read = (answer: WireReader) => {
    answer.skip(4)
    return answer
      .array(() => {
        const topic = answer.string() ?? ''
        return answer.array(() => {
          answer.skip(4)
          return { topic, errorCode: answer.int16() }
        })
      })
      .flat()
  }
  const added = await broker.connectionPool.send(
    protocolRequest({ apiKey: 24, apiVersion: 1, apiName: 'AddPartitionsToTxn', body, read }),
  )
  const failed = added.filter(({ errorCode }) => errorCode !== 0)
  const notAttempted = 55
  const worst = failed.find(({ errorCode }) => errorCode !== notAttempted) ?? failed[0]
  if (worst) throw new BrokerError(worst.errorCode, null, worst.topic)
}

export interface FetchOne {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly isolation: 'committed' | 'uncommitted'
  /** One batch is answered even if it is larger. */
  readonly maxBytes: number
  readonly maxWaitMs: number
}

/** Fetch, version 11, of one partition. */
export async function fetchOne(
  broker: Broker,
  { topic, partition, offset, isolation, maxBytes, maxWaitMs }: FetchOne,
): Promise<FetchedPartition> {
  const consumer = -1
  const noSession = { id: 0, epoch: -1 }
  const body = new WireWriter()
    .int32(consumer)
    .int32(maxWaitMs)
    .int32(1)
    .int32(maxBytes)
    .int8(isolation === 'committed' ? 1 : 0)
    .int32(noSession.id)
    .int32(noSession.epoch)
  body.array([topic], () => {
    body.string(topic).array([partition], () => body.int32(partition).int32(-1).int64(offset).int64(-1).int32(maxBytes))
  })
  body.array([], () => undefined).string('')
  const read = (answer: WireReader) => {
    const { errorCode, partitions } = decodeFetchAnswer(answer.rest(), 11)
    const [found] = partitions
    if (errorCode !== 0 || found === undefined) throw new BrokerError(errorCode)
    return found
  }
  return broker.connectionPool.send(protocolRequest({ apiKey: 1, apiVersion: 11, apiName: 'Fetch', body, read }))
}

/** Metadata, version 4: the error code that the brokers have for a topic, 0 if there is nothing wrong. */
export async function topicErrorCode(broker: Broker, topic: string): Promise<number> {
  const createIt = 0
  const body = new WireWriter().int32(1).string(topic).int8(createIt)
  const read = (answer: WireReader) => {
    answer.skip(4)
    answer.array(() => {
      answer.skip(4)
      answer.string()
      answer.skip(4)
      answer.string()
    })
    answer.string()
    answer.skip(4 + 4)
    return answer.int16()
  }
  return broker.connectionPool.send(protocolRequest({ apiKey: 3, apiVersion: 4, apiName: 'Metadata', body, read }))
}

export interface PartitionSize {
  readonly topic: string
  readonly partition: number
  readonly bytes: number
}

/** DescribeLogDirs, version 1: what the broker holds of every partition. Empty without the right to ask. */
export async function partitionSizes(broker: Broker): Promise<PartitionSize[]> {
  const everything = -1
  const read = (answer: WireReader) => {
    answer.skip(4)
    return answer
      .array(() => {
        answer.skip(2)
        answer.string()
        return answer.array(() => {
          const topic = answer.string() ?? ''
          return answer.array(() => {
            const [partition, bytes] = [answer.int32(), answer.int64()]
            answer.skip(9)
            return { topic, partition, bytes }
          })
        })
      })
      .flat(2)
  }
  return broker.connectionPool.send(
    protocolRequest({
      apiKey: 35,
      apiVersion: 1,
      apiName: 'DescribeLogDirs',
      body: new WireWriter().int32(everything),
      read,
    }),
  )
}

export interface ConfigEntry {
  readonly name: string
  readonly value: string
}

/** IncrementalAlterConfigs, version 0: sets these and leaves the others. Answers the error code and the broker's words. */
export async function setTopicConfigs(
  broker: Broker,
  topic: string,
  entries: readonly ConfigEntry[],
): Promise<{ readonly errorCode: number; readonly problem: string | null }> {
  const [topicResource, set, forReal] = [2, 0, 0]
  const body = new WireWriter()
  body
    .array([topic], () => {
      body
        .int8(topicResource)
        .string(topic)
        .array(entries, ({ name, value }) => body.string(name).int8(set).string(value))
    })
    .int8(forReal)
  const read = (answer: WireReader) => {
    answer.skip(4)
    const [found] = answer.array(() => {
      const [errorCode, problem] = [answer.int16(), answer.string()]
      answer.skip(1)
      answer.string()
      return { errorCode, problem }
    })
    return found ?? { errorCode: -1, problem: null }
  }
  return broker.connectionPool.send(
    protocolRequest({ apiKey: 44, apiVersion: 0, apiName: 'IncrementalAlterConfigs', body, read }),
  )
}
