import { randomUUID } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { openKafkaLog } from '../../connectors/kafka/index.ts'
import type { Json, LogRecord } from '../../src/core/event.ts'
import type { EventLog } from '../../src/core/event-log.ts'
import { createSerde } from '../../src/serde/index.ts'
import { startClickHouseServer } from '../services/clickhouse-server.ts'
import { findService } from '../services/services.ts'
import { call, pipelineStatus, until, vectorsIn } from '../support/api.ts'
import { startCli, tempFolder } from '../support/cli.ts'

const kafka = await findService('kafka')
const registry = await findService('registry')
const milvus = await findService('milvus')

const schema = {
  type: 'record',
  name: 'Measured',
  fields: [
    { name: 'n', type: 'long' },
    { name: 'at', type: 'string' },
    { name: 'vector', type: { type: 'array', items: 'double' } },
  ],
}
const pipeline = (name: string) => `
name: ${name}
source: { topic: ${name} }
sinks:
  - clickhouse: { table: ${name}, columns: { n: UInt8, at: DateTime64(3) } }
  - vectors: { collection: ${name}, field: vector, dimension: 3, fields: [n] }
block: { age: 200ms }
`
const numbers = z.object({ rows: z.array(z.object({ n: z.number() })) })

/** A record of the source, and why it ends in the dead letters if it does. */
interface Given {
  readonly key: string
  readonly value: Uint8Array
  readonly letter?: { readonly component: string; readonly code: string; readonly message: RegExp }
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

  it('each kind of poison ends in the dead letters as it came with its cause, and the others are delivered once', async () => {
    await using folder = await tempFolder()
    const name = `p${randomUUID().slice(0, 8)}`
    const schemas = join(folder.path, 'schemas')
    await mkdir(join(folder.path, 'pipelines'))
    await mkdir(schemas)
    await writeFile(join(schemas, `${name}.avsc`), JSON.stringify(schema))
    await writeFile(join(folder.path, 'pipelines/measured.yaml'), pipeline(name))
    const codec = await createSerde({ folder: schemas, registry: { url: registry ?? '' } }).codec(name, 'write')
    const given = records((value) => codec.encode(value))
    await using server = await startCli(['run'], {
      cwd: folder.path,
      env: {
        KAFKA_BROKERS: kafka ?? '',
        SCHEMA_REGISTRY_URL: registry ?? '',
        CLICKHOUSE_URL: clickhouse.url,
        MILVUS_ADDRESS: milvus ?? '',
      },
    })

    // At once, so that they share their batches and blocks.
    const headers = { trace: Buffer.from([0xff, 0x00, 0x01]) }
    await log.append(
      name,
      given.map(({ key, value }) => ({ key: Buffer.from(key), value, headers })),
    )
    await until(async () => {
      const { state, lag, totals } = await call(`${server.address}/v1/pipelines/${name}`, pipelineStatus)
      return state === 'running' && lag === 0 && totals.read === given.length
    })

    const letters = await log.read({ topic: `${name}.dlq`, partition: 0 }, 0, { events: 100, bytes: 1e6 })
    const poisoned = given.flatMap(({ letter, ...record }, offset) => (letter ? [{ ...record, letter, offset }] : []))
    expect(letters.map(shown)).toEqual(
      poisoned.map(({ key, value, letter, offset }) => ({
        key,
        value: hex(value),
        trace: 'ff0001',
        component: letter.component,
        code: letter.code,
        message: expect.stringMatching(letter.message),
        from: `${name}/0/${offset}`,
      })),
    )
    // What one sink refuses, the other one has.
    const { rows } = await call(`${server.address}/v1/query`, numbers, { sql: `SELECT n FROM ${name} ORDER BY n` })
    expect(rows.map(({ n }) => n)).toEqual([1, 2, 3, 4, 5, 7])
    expect(await vectorsIn(server.address, name)).toBe(7)
  }, 120_000)
})

/** Poison of each kind between events that are well. */
function records(encode: (value: Json) => Uint8Array): Given[] {
  const at = '2026-01-31T12:00:00.000Z'
  const well = (n: number): Given => ({ key: `well-${n}`, value: encode({ n, at, vector: [n, 0, 1] }) })
  const sound = Buffer.from(well(0).value)
  const unknown = Buffer.from(sound)
  unknown.writeInt32BE(2_000_000_000, 1)
  const source = (code: string, message: RegExp) => ({ component: 'source', code, message })
  const misfit = (message: RegExp) => ({ component: 'clickhouse', code: 'value_does_not_fit', message })
  return [
    well(1),
    { key: 'bytes', value: Buffer.from('no Avro at all'), letter: source('bad_bytes', /not framed/) },
    well(2),
    { key: 'cut', value: sound.subarray(0, -3), letter: source('bad_bytes', /Avro/) },
    { key: 'cut in the id', value: sound.subarray(0, 3), letter: source('bad_bytes', /within the id/) },
    { key: 'unknown', value: unknown, letter: source('unknown_schema', /2000000000/) },
    well(3),
    { key: 'range', value: encode({ n: 70_000, at, vector: [0, 1, 0] }), letter: misfit(/70000.*UInt8/) },
    { key: 'type', value: encode({ n: 6, at: 'soon', vector: [0, 1, 1] }), letter: misfit(/at.*soon/) },
    well(4),
    {
      key: 'dimension',
      value: encode({ n: 7, at, vector: [1, 0] }),
      letter: { component: 'vectors', code: 'bad_vector', message: /2.*3/ },
    },
    well(5),
  ]
}

function shown({ key, value, headers }: LogRecord): Record<string, string> {
  const header = (name: string) => Buffer.from(headers[`millrace-${name}`] ?? []).toString()
  return {
    key: Buffer.from(key ?? []).toString(),
    value: hex(value ?? []),
    trace: hex(headers.trace ?? []),
    component: header('component'),
    code: header('code'),
    message: header('message'),
    from: `${header('topic')}/${header('partition')}/${header('offset')}`,
  }
}

function hex(bytes: Uint8Array | readonly number[]): string {
  return Buffer.from(bytes).toString('hex')
}
