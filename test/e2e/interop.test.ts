import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { findPython } from '../services/artefacts.ts'
import { startClickHouseServer } from '../services/clickhouse-server.ts'
import { findService } from '../services/services.ts'
import { call, pipelineStatus, until } from '../support/api.ts'
import { startCli, tempFolder } from '../support/cli.ts'

const kafka = await findService('kafka')
const registry = await findService('registry')
const python = findPython()

const partitions = 3
const codecs = ['gzip', 'snappy', 'lz4', 'zstd'] as const

const consumed = z.object({
  records: z.array(
    z.object({
      key: z.string().nullable(),
      value: z.json(),
      headers: z.record(z.string(), z.string()),
      timestamp: z.number(),
      partition: z.number(),
    }),
  ),
})
type Consumed = z.infer<typeof consumed>['records'][number]
const rowsOf = z.object({ rows: z.array(z.record(z.string(), z.json())) })

const avro = {
  type: 'record',
  name: 'Booking',
  fields: [
    { name: 'id', type: 'long' },
    { name: 'city', type: 'string' },
    { name: 'weight', type: 'double' },
    { name: 'pieces', type: 'int' },
    { name: 'status', type: { type: 'enum', name: 'Status', symbols: ['UNKNOWN', 'SENT', 'LOST'] } },
    { name: 'placed', type: { type: 'long', logicalType: 'timestamp-micros' } },
    { name: 'note', type: ['null', 'string'], default: null },
  ],
}
const proto = `
syntax = "proto3";
package interop.booking;
import "google/protobuf/timestamp.proto";
enum Status { UNKNOWN = 0; SENT = 1; LOST = 2; }
message Booking {
  int64 id = 1;
  string city = 2;
  double weight = 3;
  int32 pieces = 4;
  Status status = 5;
  google.protobuf.Timestamp placed = 6;
  optional string note = 7;
}
`
const pipeline = (name: string) => `
name: ${name}
source: { topic: ${name} }
id: key
processors:
  - filter: value.weight > 1
  - map:
      id: value.id
      city: value.to.city
      weight: value.weight
      pieces: sum(value.items.map(item, item.count))
      status: value.status
      placed: value.placed
      note: value.?note.orValue(null)
sinks:
  - clickhouse:
      table: ${name.replaceAll('-', '_')}
      mode: upsert
      columns:
        id: Int64
        city: LowCardinality(String)
        weight: Float64
        pieces: UInt32
        status: Enum8('UNKNOWN' = 0, 'SENT' = 1, 'LOST' = 2)
        placed: DateTime64(6)
        note: Nullable(String)
        sent: { type: DateTime64(3), from: timestamp }
        trace: { type: String, from: 'headers["trace"]' }
  - topic: { topic: ${name}-avro, partitions: ${partitions} }
  - topic: { topic: ${name}-proto, partitions: ${partitions} }
block: { age: 200ms }
`

describe.skipIf(!kafka || !registry || python === undefined)('beside a client built on librdkafka', () => {
  let clickhouse: Awaited<ReturnType<typeof startClickHouseServer>>
  beforeAll(async () => {
    clickhouse = await startClickHouseServer()
  })
  afterAll(async () => clickhouse?.stop())

  it.each([
    ['AVRO', 'lz4'],
    ['PROTOBUF', 'zstd'],
  ])(
    '%s from there is filtered, mapped and stored here, and what is written here, by %s, is read there',
    async (type, compression) => {
      await using folder = await tempFolder()
      const name = `parcels-${randomUUID().slice(0, 8)}`
      await mkdir(join(folder.path, 'pipelines'))
      await mkdir(join(folder.path, 'schemas'))
      await writeFile(join(folder.path, 'pipelines/parcels.yaml'), pipeline(name))
      await writeFile(join(folder.path, `schemas/${name}-avro.avsc`), JSON.stringify(avro))
      await writeFile(join(folder.path, `schemas/${name}-proto.proto`), proto)
      const sent = [...parcels(type), deletion]
      const records = sent.map(({ booking: _, ...record }) => record)
      await askPython({ do: 'produce', type, topic: name, partitions, records })

      await using server = await startCli(['run'], {
        cwd: folder.path,
        env: {
          KAFKA_BROKERS: kafka ?? '',
          SCHEMA_REGISTRY_URL: registry ?? '',
          CLICKHOUSE_URL: clickhouse.url,
          MILLRACE_KAFKA_COMPRESSION: compression,
        },
      })
      await until(async () => {
        const { lag, totals } = await call(`${server.address}/v1/pipelines/${name}`, pipelineStatus)
        return lag === 0 && totals.read === sent.length
      })

      const kept = sent.filter(({ booking }) => booking !== undefined)
      const expected = kept.map(({ key, headers, timestamp, booking }) => ({
        key,
        value: booking,
        headers: { ...headers, 'millrace-id': key },
        timestamp,
        partition: expect.any(Number),
      }))
      const byTime = (left: Consumed, right: Consumed) => left.timestamp - right.timestamp
      const inAvro = (await readThere('AVRO', `${name}-avro`)).toSorted(byTime)
      const inProto = (await readThere('PROTOBUF', `${name}-proto`)).toSorted(byTime)
      expect(inAvro).toEqual(expected)
      expect(inProto).toEqual(expected)
      // Both sides hash keys alike, so what belongs to a key stays together.
      const source = await call(`${server.address}/v1/topics/${name}/events?limit=1000`, placed)
      const places = new Map(source.events.map(({ key, partition }) => [key, partition]))
      expect(new Set(places.values()).size).toBe(partitions)
      for (const { key, partition } of [...inAvro, ...inProto]) expect(partition).toBe(places.get(key))

      const sql = `SELECT * FROM ${name.replaceAll('-', '_')} ORDER BY sent`
      const { rows } = await call(`${server.address}/v1/query`, rowsOf, { sql })
      expect(rows.map(({ id, ...row }) => ({ ...row, id: String(id) }))).toEqual(
        kept
          .filter(({ key }) => key !== deletion.key)
          .map(({ booking, timestamp, headers }) => ({
            ...booking,
            placed: inClickHouse(booking?.placed),
            sent: inClickHouse(new Date(timestamp).toISOString()),
            trace: headers.trace,
          })),
      )
    },
    180_000,
  )
})

function inClickHouse(instant = ''): string {
  return instant.replace('T', ' ').replace('Z', '')
}

const placed = z.object({ events: z.array(z.object({ key: z.string().nullable(), partition: z.number() })) })
const began = Date.parse('2026-01-31T12:00:00Z')

/** Parcels in each codec, and what is to become of each; `undefined` for one that is filtered out. */
function parcels(type: string) {
  return Array.from({ length: 80 }, (_, n) => {
    const weight = n % 5 === 0 ? 0.5 : n + 0.25
    const id = n === 1 ? '-9223372036854775808' : String(9_007_199_254_740_000n + BigInt(n * 20))
    const status = ['UNKNOWN', 'SENT', 'LOST'][n % 3]
    const at = `2026-01-31T12:30:00.${String(n).padStart(6, '0')}Z`
    const city = ['Köln', '', '東京'][n % 3]
    const note = n % 2 === 0 ? null : `note ${n}`
    return {
      key: `parcel-${n} ✓`,
      value: {
        id,
        to: { city, street: 'a long way '.repeat(20) },
        items: Array.from({ length: n % 4 }, (_, index) => ({ sku: `s${index}`, count: index + 1 })),
        weight,
        status,
        placed: at,
        // In Protobuf what is not set is not there.
        ...(note === null && type === 'PROTOBUF' ? {} : { note }),
      },
      headers: { trace: `trace-${n} ✓`, empty: '' },
      timestamp: began + n,
      codec: codecs[Math.floor(n / 20)],
      booking:
        weight > 1 ? { id, city, weight, pieces: ((n % 4) * ((n % 4) + 1)) / 2, status, placed: at, note } : undefined,
    }
  })
}

/** Deletes a parcel that was kept. */
const deletion = {
  key: 'parcel-7 ✓',
  value: null,
  headers: { trace: 'gone', empty: '' },
  timestamp: began + 1_000,
  codec: 'zstd',
  booking: null,
}

async function readThere(type: string, topic: string): Promise<Consumed[]> {
  return consumed.parse(await askPython({ do: 'consume', type, topic })).records
}

async function askPython(request: unknown): Promise<unknown> {
  const script = join(import.meta.dirname, 'interop.py')
  const child = spawn(python ?? '', [script, kafka ?? '', registry ?? ''], { timeout: 90_000 })
  child.stdin.end(JSON.stringify(request))
  const [answer, problems] = await Promise.all([text(child.stdout), text(child.stderr)])
  if (answer === '') throw new Error(`the Python client has ended without an answer: ${problems}`)
  return JSON.parse(answer)
}
