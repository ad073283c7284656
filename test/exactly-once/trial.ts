import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { openAnalytics } from '../../connectors/clickhouse/analytics.ts'
import { openKafkaLog } from '../../connectors/kafka/index.ts'
import { openMilvus } from '../../connectors/milvus/index.ts'
import type { Analytics } from '../../src/core/analytics.ts'
import { Retryable } from '../../src/core/errors.ts'
import type { EventLog } from '../../src/core/event-log.ts'
import type { Collection, VectorStore } from '../../src/core/vector-store.ts'
import { tempFolder } from '../support/cli.ts'
import { chaos, type Restartable } from './chaos.ts'
import { Fleet } from './fleet.ts'

export interface TrialOptions {
  readonly events: number
  readonly partitions: number
  readonly processes: number
  /** How long events are published for, and things go wrong. Milliseconds. */
  readonly durationMs: number
  readonly journal: boolean
  readonly kafka: Restartable & { readonly brokers: string }
  readonly clickhouse: Restartable & { readonly url: string }
  /** host:port */
  readonly milvus: string
  readonly log: (line: string) => void
}

/** How often the events are in each sink. */
export interface Tally {
  readonly events: number
  readonly missing: number
  readonly doubled: number
}

export interface Verdict {
  readonly clickhouse: Tally
  readonly vectors: Tally
  readonly troubles: Readonly<Record<string, number>>
  readonly outputs: string
}

const sessionTimeoutMs = 6_000
const batch = 100
const page = 4_000
/** Longer than it takes to settle when nothing goes wrong any more. */
const patienceMs = 180_000

/**
 * Publishes numbered events to a topic while the processes that read it, and the servers they depend on, are killed, frozen,
 * added, removed and restarted; then counts how often each event is in ClickHouse and in the vector store.
 */
export async function trial(options: TrialOptions): Promise<Verdict> {
  const { kafka, clickhouse, milvus, log } = options
  const name = `trial_${randomUUID().slice(0, 8)}`
  await using folder = await tempFolder()
  const settings = { brokers: [kafka.brokers], clientId: 'trial', ssl: false, sessionTimeout: 30_000, linger: 0 }
  const events = await openKafkaLog({ ...settings, compression: 'none' })
  await events.ensureTopic(name, { partitions: options.partitions })
  const fleet = new Fleet({
    folder: folder.path,
    pipeline: pipelineOf(name),
    journal: options.journal,
    env: {
      KAFKA_BROKERS: kafka.brokers,
      MILLRACE_KAFKA_SESSION_TIMEOUT: `${sessionTimeoutMs}ms`,
      CLICKHOUSE_URL: clickhouse.url,
      MILVUS_ADDRESS: milvus,
    },
  })
  const limits = { timeMs: 60_000, rows: 1_000_000, memoryBytes: 1e9 }
  const tables = await openAnalytics({
    url: clickhouse.url,
    username: 'default',
    password: '',
    database: 'default',
    limits,
  })
  const vectors = await openMilvus({ address: milvus, ssl: false })
  try {
    for (let started = 0; started < options.processes; started++) await fleet.add()
    const over = new AbortController()
    const troubles = chaos({ fleet, sessionTimeoutMs, log, servers: { kafka, clickhouse } }, over.signal)
    // It is awaited below; until then a failure must not count as unhandled.
    troubles.catch(() => {})
    await publish(events, name, options)
    log(`${options.events} events are published`)
    over.abort()
    const happened = await troubles
    await settled(tables, vectors, name, options.events, log)
    return {
      clickhouse: await tallyRows(tables, name, options.events),
      vectors: await tallyVectors(await collectionOf(vectors, name), options.events),
      troubles: happened,
      outputs: fleet.outputs(),
    }
  } finally {
    await fleet.close()
    await Promise.all([tables.close(), vectors.close(), events.close()])
  }
}

/** The vector comes with the event, so that the model takes nothing from what is tried here. */
function pipelineOf(name: string): string {
  return `
name: orders
source: { topic: ${name}, group: ${name} }
processors:
  - filter: value.id >= 0
sinks:
  - clickhouse: { table: ${name}, columns: { id: UInt64, text: String } }
  - vectors: { collection: ${name}, field: vector, dimension: 4, fields: [id] }
block: { age: 300ms }
`
}

/** Spread over the time, each once: what is repeated after a failure has the same sequence. */
async function publish(log: EventLog, topic: string, { events, durationMs }: TrialOptions): Promise<void> {
  const started = performance.now()
  for (let next = 0; next < events; next += batch) {
    const due = started + (durationMs * next) / events
    await delay(Math.max(0, due - performance.now()))
    const ids = Array.from({ length: Math.min(batch, events - next) }, (_, index) => next + index)
    const records = ids.map((id) => ({ key: Buffer.from(`${id}`), value: Buffer.from(JSON.stringify(event(id))) }))
    await persist(() => log.append(topic, records, { once: { producer: topic, sequence: next + 1 } }))
  }
}

function event(id: number) {
  return { id, text: `event ${id}`, vector: [1, id % 7, id % 11, id % 13] }
}

async function persist<T>(attempt: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof Retryable)) throw error
      await delay(200)
    }
  }
}

/** Waits until nothing arrives any more, or everything has. */
async function settled(
  tables: Analytics,
  vectors: VectorStore,
  name: string,
  events: number,
  log: (line: string) => void,
): Promise<void> {
  const deadline = Date.now() + patienceMs
  for (let said = 0; Date.now() < deadline; ) {
    const rows = await count(tables, `SELECT uniqExact(id) AS n FROM ${name}`)
    const points = (await (await collectionOf(vectors, name)).count()) ?? 0
    if (rows >= events && points >= events) break
    if (Date.now() - said > 5_000) {
      log(`${rows} rows and ${points} vectors of ${events}`)
      said = Date.now()
    }
    await delay(500)
  }
  // Whatever a zombie still has in hand, or a replay, is written within this time.
  await delay(sessionTimeoutMs)
}

async function collectionOf(vectors: VectorStore, name: string): Promise<Collection> {
  return persist(async () => {
    const collection = await vectors.find(name)
    if (!collection) throw new Retryable({ code: 'collection_not_found', message: `no collection ${name} yet` })
    return collection
  })
}

async function count(tables: Analytics, sql: string): Promise<number> {
  const { rows } = await persist(() => tables.query(sql))
  return Number(rows[0]?.n)
}

async function tallyRows(tables: Analytics, name: string, events: number): Promise<Tally> {
  const known = await count(tables, `SELECT uniqExactIf(id, id < ${events}) AS n FROM ${name}`)
  const doubled = await count(
    tables,
    `SELECT count() AS n FROM (SELECT id FROM ${name} GROUP BY id HAVING count() > 1)`,
  )
  return { events: known, missing: events - known, doubled }
}

async function tallyVectors(collection: Collection, events: number): Promise<Tally> {
  const times = new Map<number, number>()
  for (let from = 0; from < events; from += page) {
    const filter = { id: { $gte: from, $lt: from + page } }
    const matches = await collection.search({ vector: Float32Array.of(1, 1, 1, 1), k: 2 * page, filter })
    for (const { fields } of matches) times.set(Number(fields.id), (times.get(Number(fields.id)) ?? 0) + 1)
  }
  return {
    events: times.size,
    missing: events - times.size,
    doubled: [...times.values()].filter((count) => count > 1).length,
  }
}
