import { Kafka, logLevel } from 'kafkajs'
import { afterAll, describe, expect, test } from 'vitest'
import { askKafka, type KafkaServer, startKafka } from './kafka.ts'
import { askMilvus } from './milvus.ts'
import { askRedis } from './redis.ts'
import { askRegistry } from './registry.ts'
import { canStart, findService, type ServiceName } from './services.ts'

const port = (address: string): number => Number(address.slice(address.lastIndexOf(':') + 1))
const questions: Readonly<Record<ServiceName, (address: string) => Promise<void>>> = {
  kafka: askKafka,
  registry: askRegistry,
  redis: (address) => askRedis(port(address)),
  milvus: (address) => askMilvus(port(address)),
}

describe.each(['kafka', 'registry', 'redis', 'milvus'] as const)('%s', async (name) => {
  const address = await findService(name)

  test.skipIf(address === undefined)('answers', async () => {
    await questions[name](address ?? '')
  })

  test.skipIf(address === undefined)('is the same for everyone who asks', async () => {
    expect(await findService(name)).toBe(address)
  })
})

describe.skipIf(!(await canStart('kafka')))('a Kafka of its own', () => {
  let server: KafkaServer | undefined
  afterAll(async () => server?.[Symbol.asyncDispose]())

  test('keeps its address and what it has acknowledged when it is killed and started again', {
    timeout: 120_000,
  }, async () => {
    server = await startKafka()
    const topic = { topic: 'kept', numPartitions: 1 }
    const write = client(server.brokers)
    await Promise.all([write.admin.connect(), write.producer.connect()])
    await write.admin.createTopics({ topics: [topic] })
    await write.producer.send({ topic: 'kept', messages: [{ value: 'first' }] })
    await write.close()

    const { brokers } = server
    await server.kill()
    await expect(askKafka(brokers)).rejects.toThrow()
    await server.restart()

    const read = client(brokers)
    await read.admin.connect()
    expect(await read.admin.fetchTopicOffsets('kept')).toMatchObject([{ partition: 0, high: '1' }])
    await read.close()
  })

  test('does not answer while it is held', async () => {
    if (server === undefined) throw new Error('not started')
    server.pause()
    await expect(askKafka(server.brokers)).rejects.toThrow()
    server.resume()
    await askKafka(server.brokers)
  })
})

function client(broker: string) {
  const kafka = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING })
  const admin = kafka.admin()
  const producer = kafka.producer()
  return {
    admin,
    producer,
    close: async () => void (await Promise.all([admin.disconnect(), producer.disconnect()])),
  }
}
