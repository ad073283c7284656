import { z } from 'zod'
import type { Catalog } from '../core/component.ts'
import { InvalidInput } from '../core/errors.ts'
import { asBuffer, type Headers, type Json, type JsonObject, type LogRecord } from '../core/event.ts'
import type { EventLog } from '../core/event-log.ts'
import type { ComponentUse } from '../core/pipeline.ts'
import type { Codec } from '../core/serde.ts'
import type { Services } from '../core/services.ts'

/** What is in one output of a pipeline. */
export interface Output {
  /** Whether its items have an order that a test may rely on. */
  readonly ordered: boolean
  readonly items: readonly Json[]
}

/** What tests run on: the embedded services, and what the names of their tables begin with in the shared ClickHouse. */
export interface TestServices extends Services {
  readonly tablePrefix: string
}

/** Everything of one output; an item looks as it does in the HTTP API. A name without a reader cannot be expected. */
const readers: Readonly<Record<string, (name: string, services: TestServices) => Promise<Output>>> = {
  live: readChannel,
  topic: readTopic,
  clickhouse: readTable,
  vectors: readCollection,
}

/** Far more than a test gives, and a bound all the same. */
const mostItems = 10_000
const mostBytes = 256_000_000

/** What tests call the output of a sink: `live.tickets`, the sink's name and what its main option names. */
export function outputName({ name, options }: ComponentUse, catalog: Catalog): string {
  const main = catalog.sinks.get(name)?.main
  const named = z.record(z.string(), z.unknown()).safeParse(options).data
  const target = main === undefined ? undefined : named?.[main]
  return typeof target === 'string' ? `${name}.${target}` : name
}

/** Whether `readOutput` knows what is in the output. */
export function isReadable(output: string): boolean {
  return splitOutput(output).kind in readers
}

/** Reads an output by its name in tests. Throws `InvalidInput` for one that keeps nothing, such as `console`. */
export function readOutput(output: string, services: TestServices): Promise<Output> {
  const { kind, target } = splitOutput(output)
  const read = readers[kind]
  if (read !== undefined) return read(target, services)
  const message = `a test cannot expect anything of "${output}": nothing is kept there`
  throw new InvalidInput({ code: 'unknown_output', message })
}

/** The dead letters of a pipeline, each with why it is one. */
export async function readDeadLetters(topic: string, sourceTopic: string, services: Services): Promise<Output> {
  const log = await services.log()
  const codec = await services.serde.codec(sourceTopic)
  const records = await readRecords(log, topic)
  await codec.load?.(records.map(({ value }) => value))
  const items = records.map((record) => ({
    ...eventOf(record, codec),
    component: headerText(record.headers, 'millrace-component'),
    code: headerText(record.headers, 'millrace-code'),
    message: headerText(record.headers, 'millrace-message'),
  }))
  return { ordered: true, items }
}

function splitOutput(output: string): { readonly kind: string; readonly target: string } {
  const dot = output.indexOf('.')
  return dot < 0 ? { kind: output, target: '' } : { kind: output.slice(0, dot), target: output.slice(dot + 1) }
}

async function readChannel(channel: string, services: Services): Promise<Output> {
  const live = await services.live()
  const { first } = await live.head(channel)
  const events = await live.read(channel, first, mostItems)
  return { ordered: true, items: events.map(({ id, key, value, timestamp }) => ({ id, key, value, timestamp })) }
}

async function readTopic(topic: string, services: Services): Promise<Output> {
  const codec = await services.serde.codec(topic)
  const records = await readRecords(await services.log(), topic)
  await codec.load?.(records.map(({ value }) => value))
  return { ordered: true, items: records.map((record) => eventOf(record, codec)) }
}

async function readTable(name: string, services: TestServices): Promise<Output> {
  const table = services.tablePrefix + name
  const analytics = await services.analytics()
  if (!(await analytics.tables()).some((present) => present.name === table)) return { ordered: false, items: [] }
  // `final` merges the versions of a row where the table has any, and drops rows that were deleted.
  const sql = `SELECT * FROM \`${table.replaceAll('`', '\\`')}\` LIMIT ${mostItems} SETTINGS final = 1`
  return { ordered: false, items: (await analytics.query(sql)).rows }
}

async function readCollection(name: string, services: Services): Promise<Output> {
  const collection = await (await services.vectors()).find(name)
  if (collection === undefined) return { ordered: false, items: [] }
  const anywhere = new Float32Array(collection.spec.dimension)
  anywhere[0] = 1
  const matches = await collection.search({ vector: anywhere, k: Math.max(1, await collection.count()) })
  return { ordered: false, items: matches.map(({ id, fields, timestamp }) => ({ id, fields, timestamp })) }
}

/** All records of a topic in the order of their partitions; none when the topic was never created. */
async function readRecords(log: EventLog, topic: string): Promise<LogRecord[]> {
  const info = (await log.topics()).find(({ name }) => name === topic)
  const limit = { events: mostItems, bytes: mostBytes }
  const partitions = info?.partitions ?? []
  return (
    await Promise.all(partitions.map(({ partition, start }) => log.read({ topic, partition }, start, limit)))
  ).flat()
}

function eventOf(record: LogRecord, codec: Codec): JsonObject {
  const headers = Object.keys(record.headers).map((name) => [name, headerText(record.headers, name)])
  return {
    key: record.key === null ? null : text(record.key),
    value: record.value === null ? null : decode(record.value, codec),
    headers: Object.fromEntries(headers),
    timestamp: record.timestamp,
  }
}

/** Bytes that are no value of the topic's format are shown as text: they are why there are dead letters. */
function decode(bytes: Uint8Array, codec: Codec): Json {
  try {
    return codec.decode(bytes)
  } catch {
    return text(bytes)
  }
}

function headerText(headers: Headers, name: string): string {
  const bytes = headers[name]
  return bytes === undefined ? '' : text(bytes)
}

function text(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('utf8')
}
