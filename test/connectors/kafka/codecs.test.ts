import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { promisify } from 'node:util'
import { compressSync } from 'snappy'
import { afterAll, describe, expect, test } from 'vitest'
import { decompress } from '../../../connectors/kafka/codecs.ts'
import { openKafkaLog } from '../../../connectors/kafka/index.ts'
import { bytes, readAll, text } from '../../contracts/event-log-member.ts'
import { artefact, findPython, missingArtefact } from '../../services/artefacts.ts'
import { findService } from '../../services/services.ts'
import { settingsOf } from './settings.ts'

const brokers = await findService('kafka')
const python = findPython()
const hasJava = missingArtefact('kafka', 'libs', 'kafka_2.13-4.1.0.jar') === undefined
const run = promisify(execFile)
const java = 'java'
const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
/** Beyond one block of xerial's framing. */
const values = Array.from({ length: 50 }, (_, index) => `${index} ${'streaming '.repeat(200)}`)

const consumer = `
import sys
from confluent_kafka import Consumer
consumer = Consumer({'bootstrap.servers': sys.argv[1], 'group.id': sys.argv[2], 'auto.offset.reset': 'earliest'})
consumer.subscribe([sys.argv[2]])
left = int(sys.argv[3])
while left > 0:
    message = consumer.poll(20)
    if message is None: raise SystemExit('nothing came')
    if message.error(): raise SystemExit(str(message.error()))
    headers = dict(message.headers() or [])
    print(message.value().decode() + '|' + headers['h'].decode() + '|' + str(message.timestamp()[1]))
    left -= 1
consumer.close()
`
const producer = `
import sys
from confluent_kafka import Producer
producer = Producer({'bootstrap.servers': sys.argv[1], 'compression.type': sys.argv[3], 'linger.ms': 200})
for index in range(50): producer.produce(sys.argv[2], value=str(index) + ' ' + 'streaming ' * 200)
producer.flush(20)
`

describe.skipIf(brokers === undefined)('records on Kafka', { timeout: 120_000 }, async () => {
  const log = await openKafkaLog(settingsOf(brokers ?? '127.0.0.1:1'))
  afterAll(() => log.close())
  const newTopic = async () => {
    const topic = `c-${randomUUID()}`
    await log.ensureTopic(topic)
    return topic
  }

  describe.skipIf(python === undefined)('and librdkafka', () => {
    test.each(codecs)('understand each other in %s', async (compression) => {
      const topic = await newTopic()
      // Retention goes by the records' own time.
      const now = Date.now()
      const writing = await openKafkaLog(settingsOf(brokers, { compression }))
      await writing.append(
        topic,
        values.map((value, index) => ({
          key: null,
          value: bytes(value),
          headers: { h: bytes('x') },
          timestamp: now + index,
        })),
      )
      await writing.close()
      const { stdout } = await run(python ?? '', ['-c', consumer, brokers ?? '', topic, '50'])
      expect(stdout.trim().split('\n')).toEqual(values.map((value, index) => `${value}|x|${now + index}`))
      const other = await newTopic()
      await run(python ?? '', ['-c', producer, brokers ?? '', other, compression])
      expect((await readAll(log, other)).map(({ value }) => text(value))).toEqual(values)
    })
  })

  describe.skipIf(!hasJava)('and the Java client', () => {
    test('understand each other in every codec', async () => {
      for (const compression of codecs) {
        const topic = await newTopic()
        await produceByJava(topic, compression)
        expect((await readAll(log, topic)).map(({ value }) => text(value))).toEqual(values)
      }
    })
  })

  function produceByJava(topic: string, compression: string): Promise<void> {
    const tool = ['-cp', artefact('kafka', 'libs', '*'), 'org.apache.kafka.tools.ConsoleProducer']
    const options = ['--bootstrap-server', brokers ?? '', '--topic', topic, '--compression-codec', compression]
    return new Promise((resolve, reject) => {
      const child = execFile(java, ['-Xmx128m', '-XX:TieredStopAtLevel=1', ...tool, ...options], (error) =>
        error ? reject(error) : resolve(),
      )
      child.stdin?.end(`${values.join('\n')}\n`)
    })
  }
})

test('a block of snappy without a frame is read as well', async () => {
  const content = Buffer.from('streaming '.repeat(100))
  expect((await decompress(2, compressSync(content))).equals(content)).toBe(true)
})
