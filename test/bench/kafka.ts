import { randomUUID } from 'node:crypto'
import { Kafka, logLevel } from 'kafkajs'
import { openKafkaLog } from '../../connectors/kafka/index.ts'
import { startClickHouseServer } from '../services/clickhouse-server.ts'
import { startKafka } from '../services/kafka.ts'
import type { Benchmark } from './figure.ts'
import { order } from './orders.ts'
import { startProduct } from './product.ts'
import { workOff } from './work-off.ts'

const topic = 'orders'
const events = 1_000_000
const partitions = 4
const batch = 5_000

const pipeline = `
name: orders
source: { topic: ${topic} }
processors:
  - filter: value.amount > 5
  - map: { order: value.order, customer: value.customer.id, amount: value.amount * 100, country: value.customer.country }
sinks:
  - clickhouse:
      table: orders
      columns: { at: { type: DateTime64(3), from: timestamp }, order: UInt64, customer: String, amount: Float64, country: LowCardinality(String) }
`

/** Broker, ClickHouse server and Millrace share the machine. The topic is filled first. */
export const kafka: Benchmark = {
  name: 'kafka',
  summary: 'Kafka, filter, map, ClickHouse server, all on this machine, beside a bare kafkajs consumer',
  async run() {
    await using broker = await startKafka()
    await using clickhouse = await startClickHouseServer()
    await fill(broker.brokers)
    const bare = await bareConsumer(broker.brokers)
    await using product = await startProduct(
      { 'pipelines/orders.yaml': pipeline },
      { env: { KAFKA_BROKERS: broker.brokers, CLICKHOUSE_URL: clickhouse.url } },
    )
    const { rate, last } = await workOff(product, events)
    return [
      { name: 'bare kafkajs consumer, which only counts', value: bare, unit: 'events/s' },
      { name: 'Kafka → filter → map → ClickHouse', value: rate, unit: 'events/s', least: 100_000 },
      { name: 'of the bare consumer', value: rate / bare, unit: 'ratio' },
      { name: 'memory at the end', value: last.memory, unit: 'MB' },
    ]
  },
}

async function fill(brokers: string): Promise<void> {
  const settings = { brokers: [brokers], clientId: 'bench', ssl: false, sessionTimeout: 30_000, linger: 0 }
  const log = await openKafkaLog({ ...settings, compression: 'none' })
  await log.ensureTopic(topic, { partitions })
  for (let n = 0; n < events; n += batch) {
    const records = Array.from({ length: batch }, (_, index) => ({
      key: null,
      value: Buffer.from(JSON.stringify(order(n + index))),
      partition: (n / batch) % partitions,
    }))
    await log.append(topic, records)
  }
  await log.close()
}

/** What the client library gives by itself: events per second from the first batch to the last. */
async function bareConsumer(brokers: string): Promise<number> {
  const consumer = new Kafka({ brokers: [brokers], logLevel: logLevel.NOTHING }).consumer({ groupId: randomUUID() })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  let seen = 0
  let first = 0
  const all = new Promise<number>((resolve) => {
    const eachBatch = async ({ batch: { messages } }: { batch: { messages: readonly unknown[] } }) => {
      if (first === 0) first = performance.now()
      seen += messages.length
      if (seen >= events) resolve((seen * 1000) / (performance.now() - first))
    }
    void consumer.run({ eachBatch, partitionsConsumedConcurrently: partitions })
  })
  const rate = await all
  await consumer.disconnect()
  return rate
}
