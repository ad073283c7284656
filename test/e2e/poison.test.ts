import { randomUUID } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openKafkaLog } from '../../connectors/kafka/index.ts'
import type { LogRecord } from '../../src/core/event.ts'
import type { EventLog } from '../../src/core/event-log.ts'
import { startClickHouseServer } from '../services/clickhouse-server.ts'
import { findService } from '../services/services.ts'
import { call, pipelineStatus, rowsIn, until, vectorsIn } from '../support/api.ts'
import { startCli, tempFolder } from '../support/cli.ts'

const kafka = await findService('kafka')
const registry = await findService('registry')
const milvus = await findService('milvus')

const schema = {
  type: 'record',
  name: 'Measured',
  fields: [
    { name: 'n', type: 'long' },
    { name: 'vector', type: { type: 'array', items: 'double' } },
  ],
}

describe.skipIf(!kafka || !registry || !milvus)('among events that are well', () => {
  let log: EventLog
  let clickhouse: Awaited<ReturnType<typeof startClickHouseServer>>

  beforeAll(async () => {
    const settings = { brokers: [kafka ?? ''], clientId: 'test', ssl: false, sessionTimeout: 10_000, linger: 0 }
    log = await openKafkaLog({ ...settings, compression: 'none' })
    clickhouse = await startClickHouseServer()
  })
  afterAll(async () => {
    await Promise.all([log?.close(), clickhouse?.stop()])
  })

  it('each kind of poison ends in the dead letters with its bytes and its cause, and the others are delivered', async () => {
    await using folder = await tempFolder()
    const topic = `measured_${randomUUID().slice(0, 8)}`
    await mkdir(join(folder.path, 'pipelines'))
    await mkdir(join(folder.path, 'schemas'))
    await writeFile(join(folder.path, 'schemas', `${topic}.avsc`), JSON.stringify(schema))
    await writeFile(
      join(folder.path, 'pipelines/measured.yaml'),
      `
name: ${topic.replace('_', '-')}
source: { topic: ${topic} }
sinks:
  - clickhouse: { table: ${topic}, columns: { n: UInt8 } }
  - vectors: { collection: ${topic}, field: vector, dimension: 3, fields: [n] }
block: { age: 200ms }
`,
    )
    await using server = await startCli(['run'], {
      cwd: folder.path,
      env: {
        KAFKA_BROKERS: kafka ?? '',
        SCHEMA_REGISTRY_URL: registry ?? '',
        CLICKHOUSE_URL: clickhouse.url,
        MILVUS_ADDRESS: milvus ?? '',
      },
    })
    const publish = async (value: unknown) => {
      const body = JSON.stringify(value)
      const headers = { 'content-type': 'application/json' }
      const response = await fetch(`${server.address}/v1/topics/${topic}/events`, { method: 'POST', headers, body })
      expect(response.status, await response.text()).toBe(200)
    }
    const append = (value: Uint8Array) => log.append(topic, [{ key: Buffer.from('k'), value }])

    await publish({ n: 1, vector: [1, 0, 0] })
    const [first] = await log.read({ topic, partition: 0 }, 0, { events: 1, bytes: 1e6 })
    const good = Buffer.from(first?.value ?? [])
    const bytes = Buffer.from('no Avro at all')
    const unknown = Buffer.concat([good])
    unknown.writeInt32BE(2_000_000_000, 1)
    const cut = good.subarray(0, good.length - 3)
    for (const poison of [bytes, unknown, cut]) await append(poison)
    await publish({ n: 70_000, vector: [0, 1, 0] })
    await publish({ n: 2, vector: [1, 0] })
    await publish({ n: 3, vector: [0, 0, 1] })

    const status = () => call(`${server.address}/v1/pipelines/${topic.replace('_', '-')}`, pipelineStatus)
    await until(async () => {
      const { state, lag, totals } = await status()
      return state === 'running' && lag === 0 && totals.read >= 7
    })
    const letters = await log.read({ topic: `${topic.replace('_', '-')}.dlq`, partition: 0 }, 0, {
      events: 100,
      bytes: 1e6,
    })
    const inTopic = await log.read({ topic, partition: 0 }, 0, { events: 100, bytes: 1e6 })
    const value = (index: number) => hex(inTopic[index])
    expect(letters.map((letter) => [code(letter), hex(letter)])).toEqual([
      ['source bad_bytes', bytes.toString('hex')],
      ['source unknown_schema', unknown.toString('hex')],
      ['source bad_bytes', cut.toString('hex')],
      ['clickhouse value_does_not_fit', value(4)],
      ['vectors bad_vector', value(5)],
    ])
    for (const letter of letters) expect(text(letter.headers['millrace-message'])).not.toBe('')
    // What one sink refuses, the other one has.
    expect(await rowsIn(server.address, topic)).toBe(3)
    expect(await vectorsIn(server.address, topic)).toBe(3)
  })
})

function code({ headers }: LogRecord): string {
  return `${text(headers['millrace-component'])} ${text(headers['millrace-code'])}`
}

function hex(record: LogRecord | undefined): string {
  return Buffer.from(record?.value ?? []).toString('hex')
}

function text(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString()
}
