import type { Context } from 'hono'
import { z } from 'zod'
import { errorCode, errorMessage, InvalidInput } from '../core/errors.ts'
import { type Json, type LogRecord, sizeOf, type TopicPartition } from '../core/event.ts'
import type { EventLog, TopicInfo } from '../core/event-log.ts'
import type { RowFilter } from '../core/principal.ts'
import { matchesRows } from '../core/rows.ts'
import type { Codec } from '../core/serde.ts'
import { readQuery, readText } from './body.ts'
import type { GatewayContext } from './context.ts'
import { readEvents } from './event-body.ts'
import { mayAny, principalOf, topicActions, untilExpired } from './permission.ts'
import { publish, topicNotFound } from './publish.ts'
import { pathParameter, type Routes } from './route.ts'
import { answer, anyJson, position, wholeNumber } from './schemas.ts'
import { type ServerSentEvent, streamEvents } from './sse.ts'

const accepted = answer(
  'Accepted',
  z.object({ accepted: z.int(), positions: z.array(position) }).describe('Answered once the events are durable.'),
)
const storedEvent = answer(
  'StoredEvent',
  z.object({
    partition: z.int(),
    offset: z.int(),
    timestamp: z.number().describe('Milliseconds since the Unix epoch.'),
    key: z.string().nullable(),
    value: anyJson.describe('Null for a deletion.'),
    headers: z.record(z.string(), z.string()),
    error: z.string().optional().describe('Why the value cannot be read.'),
  }),
)
const storedEvents = answer('StoredEvents', z.object({ events: z.array(storedEvent) }))

const publishQuery = z.object({ key: z.string().optional().describe('JSON pointer to the key within each event.') })
const peekQuery = z.object({
  partition: wholeNumber(0, 1_000_000).optional().describe('All partitions when left out.'),
  offset: wholeNumber(0, Number.MAX_SAFE_INTEGER).optional().describe('First offset; the newest events when left out.'),
  limit: wholeNumber(1, 1_000).default(20),
})
const tailQuery = z.object({
  last: wholeNumber(0, 1_000).default(0).describe('How many of the newest events come first.'),
})

const example = {
  partition: 0,
  offset: 41,
  timestamp: 1764000000000,
  key: 'c-7',
  value: { subject: 'hi' },
  headers: {},
}
const decoder = new TextDecoder()
const readLimit = { events: 500, bytes: 1_000_000 }
/** Of the newest events of a partition, however many are asked for. */
const newestBytes = 10_000_000

export function eventRoutes(routes: Routes, { services, limits, live }: GatewayContext): void {
  routes.add(
    {
      method: 'post',
      path: '/v1/topics/{topic}/events',
      permission: { action: 'publish', name: '{topic}' },
      tag: 'Topics',
      summary: 'Append events',
      description:
        'Takes a JSON value, an array of them, NDJSON, or CloudEvents; all or none. Answers when the events are durable.',
      query: publishQuery,
      body: {
        'application/json': { example: [{ subject: 'charged twice', customer: { id: 'c-7' } }] },
        'application/x-ndjson': { example: '{"subject":"charged twice"}\n{"subject":"how do I log in"}\n' },
        'application/cloudevents+json': {
          example: { specversion: '1.0', id: '1', source: '/shop', type: 'ticket', data: { subject: 'hi' } },
        },
        'application/cloudevents-batch+json': {
          example: [{ specversion: '1.0', id: '1', source: '/shop', type: 'ticket', data: { subject: 'hi' } }],
        },
      },
      answers: {
        200: {
          description: 'The events are durable.',
          content: {
            'application/json': {
              schema: accepted,
              example: { accepted: 1, positions: [{ topic: 'support.tickets', partition: 0, offset: 41 }] },
            },
          },
        },
      },
      problems: [400, 404, 413, 415, 422, 503],
    },
    async (c) => {
      const { key } = readQuery(c, publishQuery)
      const events = readEvents(c, await readText(c, limits.bodyBytes))
      const positions = await publish(services, pathParameter(c, 'topic'), events, key, principalOf(c))
      return c.json({ accepted: positions.length, positions })
    },
  )

  routes.add(
    {
      method: 'get',
      path: '/v1/topics/{topic}/events',
      permission: { action: 'subscribe', name: '{topic}' },
      tag: 'Topics',
      summary: 'Look at stored events',
      query: peekQuery,
      answers: {
        200: {
          description: 'Events, oldest first.',
          content: { 'application/json': { schema: storedEvents, example: { events: [example] } } },
        },
      },
      problems: [400, 404, 503],
    },
    async (c) => {
      const { partition, offset, limit } = readQuery(c, peekQuery)
      const log = await services.log()
      const topic = await findTopic(c, log, pathParameter(c, 'topic'))
      const codec = await services.serde.codec(topic.name)
      const records = await peek(log, topic, partition, offset, limit)
      await codec.load?.(records.map(({ value }) => value))
      return c.json({ events: seen(codec, records, c.get('rows')) })
    },
  )

  routes.add(
    {
      method: 'get',
      path: '/v1/topics/{topic}/tail',
      permission: { action: 'subscribe', name: '{topic}' },
      tag: 'Topics',
      summary: 'Follow a topic',
      description: 'Server-sent events: each event of the topic as it is appended, as a JSON `StoredEvent`.',
      query: tailQuery,
      answers: {
        200: {
          description: 'A stream of events.',
          content: { 'text/event-stream': { example: `data: ${JSON.stringify(example)}\n\n` } },
        },
      },
      problems: [400, 404, 503],
    },
    async (c) => {
      const { last } = readQuery(c, tailQuery)
      const log = await services.log()
      const topic = await findTopic(c, log, pathParameter(c, 'topic'))
      const codec = await services.serde.codec(topic.name)
      const rows = c.get('rows')
      return streamEvents(c, untilExpired(c, live.closing), (signal) => tail(log, topic, { codec, rows }, last, signal))
    },
  )
}

/** Throws `NotFound` with the nearest name that the caller may know. */
export async function findTopic(c: Context, log: EventLog, name: string): Promise<TopicInfo> {
  const topics = await log.topics()
  const topic = topics.find((known) => known.name === name)
  if (topic) return topic
  const names = topics.map((known) => known.name).filter((known) => mayAny(c, topicActions, known))
  throw topicNotFound(name, names)
}

/** The newest records before the topic's end or, with an offset, the first from there on; oldest first. */
async function peek(
  log: EventLog,
  topic: TopicInfo,
  partition: number | undefined,
  offset: number | undefined,
  limit: number,
): Promise<LogRecord[]> {
  const wanted = topic.partitions.filter((known) => partition === undefined || known.partition === partition)
  if (wanted.length === 0) {
    const message = `Topic "${topic.name}" has the partitions 0 to ${topic.partitions.length - 1}.`
    throw new InvalidInput({ code: 'partition_not_found', message })
  }
  const parts = await Promise.all(
    wanted.map(({ partition: number, start, end }) => {
      const place = { topic: topic.name, partition: number }
      if (offset === undefined) return newest(log, place, Math.max(start, end - limit), end)
      return log.read(place, Math.max(start, offset), { ...readLimit, events: limit, before: end })
    }),
  )
  const records = parts.flat().sort((one, other) => one.timestamp - other.timestamp || one.offset - other.offset)
  return offset === undefined ? records.slice(-limit) : records.slice(0, limit)
}

/** The records from `from` up to `end`, without the oldest where all together are too large. */
async function newest(log: EventLog, partition: TopicPartition, from: number, end: number): Promise<LogRecord[]> {
  const records: LogRecord[] = []
  let bytes = 0
  for (let next = from; next < end; ) {
    const page = await log.read(partition, next, { ...readLimit, before: end })
    const last = page.at(-1)
    if (!last) break
    next = last.offset + 1
    for (const record of page) bytes += sizeOf(record)
    records.push(...page)
    while (bytes > newestBytes && records.length > 1) bytes -= dropFirst(records)
  }
  return records
}

function dropFirst(records: LogRecord[]): number {
  const [oldest] = records.splice(0, 1)
  return oldest === undefined ? 0 : sizeOf(oldest)
}

interface View {
  readonly codec: Codec
  readonly rows: RowFilter | undefined
}

async function* tail(
  log: EventLog,
  topic: TopicInfo,
  view: View,
  last: number,
  signal: AbortSignal,
): AsyncGenerator<ServerSentEvent> {
  const first = last === 0 ? [] : await peek(log, topic, undefined, undefined, last)
  yield* shown(view, first)
  const next = new Map(topic.partitions.map(({ partition, end }) => [partition, end]))
  while (!signal.aborted) {
    const grown = log.grown([topic.name], signal)
    let found = 0
    for (const [partition, from] of next) {
      const records = await log.read({ topic: topic.name, partition }, from, readLimit)
      const last = records.at(-1)
      if (last) next.set(partition, last.offset + 1)
      found += records.length
      yield* shown(view, records)
    }
    if (found === 0) await grown
  }
}

/** All are decoded before the first goes out: what `load` has fetched need not be kept for longer. */
async function* shown({ codec, rows }: View, records: readonly LogRecord[]): AsyncGenerator<ServerSentEvent> {
  await codec.load?.(records.map(({ value }) => value))
  yield* seen(codec, records, rows).map((data) => ({ data }))
}

/** Decoded, as far as the caller sees them: what cannot be decoded, and a deletion, belongs to nobody's rows. */
function seen(codec: Codec, records: readonly LogRecord[], rows: RowFilter | undefined) {
  return records.map((record) => show(codec, record)).filter(({ value }) => matchesRows(rows, value))
}

function show(codec: Codec, { partition, offset, timestamp, key, value, headers }: LogRecord) {
  const common = {
    partition,
    offset,
    timestamp,
    key: key === null ? null : decoder.decode(key),
    headers: Object.fromEntries(Object.entries(headers).map(([name, bytes]) => [name, decoder.decode(bytes)])),
  }
  try {
    const decoded: Json = value === null ? null : codec.decode(value)
    return { ...common, value: decoded }
  } catch (error) {
    return { ...common, value: null, error: `${errorCode(error) ?? 'bad_bytes'}: ${errorMessage(error)}` }
  }
}
