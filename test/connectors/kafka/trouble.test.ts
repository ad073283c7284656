import { randomUUID } from 'node:crypto'
import { connect, createServer } from 'node:net'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import { Appender } from '../../../connectors/kafka/appender.ts'
import { openCluster } from '../../../connectors/kafka/cluster.ts'
import { openKafkaLog } from '../../../connectors/kafka/index.ts'
import { TopicMetadata } from '../../../connectors/kafka/topic-metadata.ts'
import { Retryable } from '../../../src/core/errors.ts'
import { bytes, readAll } from '../../contracts/event-log-member.ts'
import { findService } from '../../services/services.ts'
import { settingsOf } from './settings.ts'

const brokers = await findService('kafka')
const record = { key: null, value: bytes('a') }

describe.skipIf(brokers === undefined)('a log on Kafka', async () => {
  const settings = settingsOf(brokers ?? '127.0.0.1:1')
  const log = await openKafkaLog(settings)
  afterAll(() => log.close())
  afterEach(() => vi.restoreAllMocks())

  const newTopic = async () => {
    const topic = `t-${randomUUID()}`
    await log.ensureTopic(topic)
    return topic
  }

  test('refuses what has waited for long, while no broker takes anything', async () => {
    const cluster = await openCluster(settings, 'test')
    const appender = new Appender({ cluster, topics: new TopicMetadata(cluster), settings })
    const topic = await newTopic()
    const lost = Object.assign(new Error('gone'), { name: 'KafkaJSConnectionError' })
    vi.spyOn(cluster.brokerPool, 'findConnectedBroker').mockRejectedValue(lost)
    const first = appender.append(topic, 0, [record])
    await new Promise((resolve) => setTimeout(resolve, 50))
    const waiting = appender.append(topic, 0, [record])
    const later = Date.now() + 31_000
    vi.spyOn(Date, 'now').mockImplementation(() => later)
    for (const append of [first, waiting])
      await expect(append).rejects.toMatchObject({ constructor: Retryable, code: 'log_unavailable' })
    vi.restoreAllMocks()
    expect(await appender.append(topic, 0, [record])).toBe(0)
    await cluster.disconnect()
  })

  test('that is closed in the midst of appends stores them first', async () => {
    const topic = await newTopic()
    const busy = await openKafkaLog(settings)
    const once = { once: { producer: topic, sequence: 1 } }
    await busy.append(topic, [record])
    const appends = [busy.append(topic, [record]), busy.append(topic, [record], once)]
    await new Promise((resolve) => setTimeout(resolve, 5))
    await busy.close()
    const stillOpen = new Promise((resolve) => setTimeout(() => resolve('still open'), 50))
    const answers = await Promise.race([Promise.allSettled(appends), stillOpen])
    expect(answers).toMatchObject([{ status: 'fulfilled' }, { status: 'fulfilled' }])
    expect(await readAll(log, topic)).toHaveLength(3)
  })

  test('is reached over an IPv6 address', async () => {
    const [host, port] = (brokers ?? '').split(':')
    const relay = createServer((client) => {
      const server = connect(Number(port), host)
      client.pipe(server).pipe(client)
      for (const socket of [client, server]) socket.on('error', () => undefined)
    })
    await new Promise<void>((resolve) => relay.listen(0, '::1', resolve))
    const address = relay.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    const reached = await openKafkaLog(settingsOf(`[::1]:${address.port}`))
    expect(await reached.topics()).not.toEqual([])
    await reached.close()
    relay.close()
  })
})
