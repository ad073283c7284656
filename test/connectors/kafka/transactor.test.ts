import { randomUUID } from 'node:crypto'
import type { ProtocolRequest } from 'kafkajs/src/network/connectionPool.js'
import { afterAll, describe, expect, test } from 'vitest'
import { type Cluster, openCluster } from '../../../connectors/kafka/cluster.ts'
import { isProducerFenced } from '../../../connectors/kafka/errors.ts'
import { PartitionReader } from '../../../connectors/kafka/reader.ts'
import { TopicAdmin } from '../../../connectors/kafka/topic-admin.ts'
import { TopicMetadata } from '../../../connectors/kafka/topic-metadata.ts'
import { Transactor, WriteFailed } from '../../../connectors/kafka/transactor.ts'
import { bytes, many, text } from '../../contracts/event-log-member.ts'
import { findService } from '../../services/services.ts'
import { settingsOf } from './settings.ts'

const brokers = await findService('kafka')
const produceKey = 0

describe.skipIf(brokers === undefined)('a transaction on Kafka', async () => {
  const settings = settingsOf(brokers ?? '127.0.0.1:1')
  const cluster = await openCluster(settings, 'test')
  const topics = new TopicMetadata(cluster)
  const reader = new PartitionReader(cluster, topics)
  afterAll(() => cluster.disconnect())

  const newTopic = async () => {
    const topic = `t-${randomUUID()}`
    await new TopicAdmin({ control: cluster, topics, settings }).ensure(topic)
    return topic
  }
  const transactorOf = (transactionalId: string) => new Transactor({ cluster, topics, settings, transactionalId })
  const share = (topic: string, value: string) => ({
    topic,
    partition: 0,
    records: [{ key: null, value: bytes(value) }],
  })
  /** What readers of what is committed see: the brokers mark a commit in the partitions after they have answered it. */
  const stored = async (topic: string) =>
    (await reader.read({ topic, partition: 0 }, 0, many)).map(({ value }) => text(value))

  test('after one whose answer was lost is not taken for that one', async () => {
    const topic = await newTopic()
    const transactor = transactorOf(topic)
    await transactor.takeOver()
    await transactor.write([share(topic, 'a')])
    const heal = await loseAnswer(cluster)
    const failure = await transactor.write([share(topic, 'lost')]).catch((error: unknown) => error)
    heal()
    expect(failure).toMatchObject({ constructor: WriteFailed, aborted: true })
    // Under the number of the lost batch the broker would answer that it has this one already.
    await transactor.write([share(topic, 'b')])
    await expect.poll(() => stored(topic)).toEqual(['a', 'b'])
  })

  test('of one who was fenced stores nothing, and the newest owner goes on', async () => {
    const topic = await newTopic()
    const [first, second] = [transactorOf(topic), transactorOf(topic)]
    await first.takeOver()
    await first.write([share(topic, 'a')])
    await second.takeOver()
    for (let attempt = 0; attempt < 2; attempt++) {
      const failure = await first.write([share(topic, 'zombie')]).catch((error: unknown) => error)
      expect(isProducerFenced(failure)).toBe(true)
    }
    expect(isProducerFenced(await first.recover().catch((error: unknown) => error))).toBe(true)
    await second.recover()
    await second.write([share(topic, 'b')])
    await expect.poll(() => stored(topic)).toEqual(['a', 'b'])
  })
})

/** The next batch is stored, but its answer is lost; sent again, it is refused. */
async function loseAnswer(cluster: Cluster): Promise<() => void> {
  const pools = await Promise.all(
    cluster.getNodeIds().map(async (nodeId) => (await cluster.findBroker({ nodeId })).connectionPool),
  )
  let batches = 0
  const heals = pools.map((pool) => {
    const send = pool.send.bind(pool)
    pool.send = async <T>(request: ProtocolRequest<T>): Promise<T> => {
      if (request.request.apiKey !== produceKey) return send(request)
      batches++
      if (batches > 1) throw Object.assign(new Error('refused'), { type: 'TOPIC_AUTHORIZATION_FAILED' })
      await send(request)
      throw Object.assign(new Error('closed'), { name: 'KafkaJSConnectionClosedError' })
    }
    return () => {
      pool.send = send
    }
  })
  return () => {
    for (const heal of heals) heal()
  }
}
