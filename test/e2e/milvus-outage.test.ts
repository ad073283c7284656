import { randomUUID } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startClickHouseServer } from '../services/clickhouse-server.ts'
import { type MilvusServer, startMilvus } from '../services/milvus.ts'
import { canStart, findService } from '../services/services.ts'
import { call, pipelineStatus, rowsIn, until, vectorsIn } from '../support/api.ts'
import { startCli, tempFolder } from '../support/cli.ts'
import { expectItHoldsBack, publish, text } from './load.ts'

const kafka = await findService('kafka')
const hasMilvus = await canStart('milvus')
/** Further behind than what arrives in a moment, a pipeline would be disturbed. */
const muchLag = 1_500

describe.skipIf(!kafka || !hasMilvus)('events from Kafka', () => {
  let milvus: MilvusServer
  let clickhouse: Awaited<ReturnType<typeof startClickHouseServer>>
  beforeAll(async () => {
    milvus = await startMilvus()
    clickhouse = await startClickHouseServer()
  })
  afterAll(async () => {
    await Promise.all([milvus?.[Symbol.asyncDispose](), clickhouse?.stop()])
  })

  it('wait for Milvus without filling memory or holding up other pipelines, and arrive once', async () => {
    await using folder = await tempFolder()
    const topic = `parcels-${randomUUID().slice(0, 8)}`
    const [vectors, rows] = [`${topic}-vectors`, `${topic}-rows`]
    await mkdir(join(folder.path, 'pipelines'))
    const file = (name: string, sink: string) =>
      writeFile(
        join(folder.path, `pipelines/${name}.yaml`),
        `{ name: ${name}, source: { topic: ${topic} }, sinks: [${sink}], block: { age: 100ms, bytes: 1MB } }`,
      )
    await file(vectors, 'vectors: { collection: parcels, field: vector, dimension: 4, fields: [id] }')
    await file(rows, 'clickhouse: { table: parcels, columns: { id: UInt64 } }')
    await using server = await startCli(['run'], {
      cwd: folder.path,
      env: { KAFKA_BROKERS: kafka ?? '', CLICKHOUSE_URL: clickhouse.url, MILVUS_ADDRESS: milvus.address },
    })
    const status = (name: string) => call(`${server.address}/v1/pipelines/${name}`, pipelineStatus)
    await using publisher = publish(server.address, topic, (id) => ({ id, vector: [1, id, 0, 0], text }))

    await until(async () => (await status(vectors)).totals.written > 300)
    await milvus.kill()
    await expectItHoldsBack(server, vectors, new RegExp(`Milvus at ${milvus.address} cannot be reached`))
    const other = await status(rows)
    expect(other.state).toBe('running')
    expect(other.lag).toBeLessThan(muchLag)

    await milvus.restart()
    await until(async () => (await status(vectors)).state === 'running')
    const sent = await publisher.stop()
    await until(async () => (await status(vectors)).lag === 0 && (await status(rows)).lag === 0, 120_000)
    expect(await vectorsIn(server.address, 'parcels')).toBe(sent)
    expect(await rowsIn(server.address, 'parcels')).toBe(sent)
    expect((await status(vectors)).state).toBe('running')
  }, 300_000)
})
