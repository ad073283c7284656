import { z } from 'zod'
import { InvalidInput } from '../core/errors.ts'
import type { Json } from '../core/event.ts'
import type { TopicConfig, TopicInfo } from '../core/event-log.ts'
import type { Serde } from '../core/serde.ts'
import { byteSize, duration } from '../core/units.ts'
import { readJson } from './body.ts'
import type { GatewayContext } from './context.ts'
import { findTopic } from './events.ts'
import { demand, mayAny, topicActions } from './permission.ts'
import { pathParameter, type Routes } from './route.ts'
import { answer, anyJson, request } from './schemas.ts'
import { TopicRates } from './topic-rates.ts'

const newTopic = request(
  'NewTopic',
  z.strictObject({
    name: z
      .string()
      .regex(/^[A-Za-z0-9._-]{1,249}$/, 'a topic name has 1 to 249 letters, digits, dots, dashes or underscores'),
    partitions: z.int().min(1).max(10_000).optional(),
    retention: duration()
      .optional()
      .describe('Older events may be dropped: `7d`, `12h`, or milliseconds; 0 keeps them.'),
    retentionBytes: byteSize()
      .optional()
      .describe('The oldest events of a larger partition are dropped: `10GB`, or bytes.'),
    compact: z.boolean().optional().describe('Keep only the newest event of each key.'),
  }),
)
const topic = answer(
  'Topic',
  z.object({
    name: z.string(),
    partitions: z.array(
      z.object({
        partition: z.int(),
        start: z.int().describe('Offset of the oldest event that is kept.'),
        end: z.int().describe('Offset that the next event will get.'),
        records: z.int(),
        bytes: z.int(),
      }),
    ),
    records: z.int(),
    bytes: z.int(),
    rate: z.number().describe('Events appended per second, over the last seconds.'),
    config: z.object({
      partitions: z.int(),
      retentionMs: z.number(),
      retentionBytes: z.number(),
      compact: z.boolean(),
    }),
    format: z.string().describe('How values are encoded; `unknown` if the schema cannot be used.'),
    problem: z.string().optional().describe('Why the schema cannot be used.'),
    schema: anyJson.optional().describe("The topic's schema as its author wrote it, if it has one."),
  }),
)
const topics = answer('Topics', z.object({ topics: z.array(topic) }))

const example = {
  name: 'support.tickets',
  partitions: [{ partition: 0, start: 0, end: 42, records: 42, bytes: 9132 }],
  records: 42,
  bytes: 9132,
  rate: 3.5,
  config: { partitions: 1, retentionMs: 604800000, retentionBytes: 10000000000, compact: false },
  format: 'json',
}

/** A schema that cannot be used is no reason to hide the topics. */
async function contract(
  serde: Serde,
  topic: string,
): Promise<{ format: string; schema?: Json | undefined; problem?: string }> {
  try {
    const { format, schema } = await serde.codec(topic)
    return { format, schema }
  } catch (error) {
    if (!(error instanceof InvalidInput)) throw error
    return { format: 'unknown', problem: error.message }
  }
}

export function topicRoutes(routes: Routes, { services }: GatewayContext): void {
  const rates = new TopicRates(async () => (await services.log()).topics())

  const describe = async (info: TopicInfo, rate: number) => {
    const { format, schema, problem } = await contract(services.serde, info.name)
    const records = info.partitions.reduce((sum, partition) => sum + partition.records, 0)
    const bytes = info.partitions.reduce((sum, partition) => sum + partition.bytes, 0)
    const known = { name: info.name, partitions: info.partitions, records, bytes, rate, config: info.config, format }
    return { ...known, schema, problem }
  }

  routes.add(
    {
      method: 'get',
      path: '/v1/topics',
      permission: 'caller',
      tag: 'Topics',
      summary: 'All topics',
      answers: {
        200: {
          description: 'Topics with their partitions, sizes and rates.',
          content: { 'application/json': { schema: topics, example: { topics: [example] } } },
        },
      },
      problems: [503],
    },
    async (c) => {
      const sampled = await rates.sample()
      const shown = sampled.filter(({ info }) => mayAny(c, topicActions, info.name))
      return c.json({ topics: await Promise.all(shown.map(({ info, rate }) => describe(info, rate))) })
    },
  )

  routes.add(
    {
      method: 'get',
      path: '/v1/topics/{topic}',
      permission: 'caller',
      tag: 'Topics',
      summary: 'One topic',
      answers: {
        200: { description: 'The topic.', content: { 'application/json': { schema: topic, example } } },
      },
      problems: [404, 503],
    },
    async (c) => {
      const name = pathParameter(c, 'topic')
      if (!mayAny(c, topicActions, name)) demand(c, 'subscribe', name)
      const info = await findTopic(c, await services.log(), name)
      const sampled = (await rates.sample()).find((known) => known.info.name === info.name)
      return c.json(await describe(info, sampled?.rate ?? 0))
    },
  )

  routes.add(
    {
      method: 'post',
      path: '/v1/topics',
      permission: { action: 'manage', name: '{name}', byHandler: true },
      tag: 'Topics',
      summary: 'Create a topic, or change one',
      body: {
        'application/json': { schema: newTopic, example: { name: 'support.tickets', partitions: 4, retention: '7d' } },
      },
      answers: {
        201: { description: 'The topic is there.', content: { 'application/json': { schema: topic, example } } },
      },
      problems: [400, 503],
    },
    async (c) => {
      const { name, partitions, retention, retentionBytes, compact } = await readJson(c, newTopic, 64_000)
      const config: Partial<TopicConfig> = {
        ...(partitions === undefined ? {} : { partitions }),
        ...(retention === undefined ? {} : { retentionMs: retention }),
        ...(retentionBytes === undefined ? {} : { retentionBytes }),
        ...(compact === undefined ? {} : { compact }),
      }
      demand(c, 'manage', name)
      const log = await services.log()
      await log.ensureTopic(name, config)
      return c.json(await describe(await findTopic(c, log, name), 0), 201)
    },
  )
}
