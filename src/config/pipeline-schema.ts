import { z } from 'zod'
import { byteSize, duration } from '../core/units.ts'

/** Names of topics, as Kafka allows them. */
export const topicName = z
  .string()
  .regex(/^[a-zA-Z0-9._-]{1,249}$/, 'a topic name has letters, digits, ".", "_" and "-" (249 characters at most)')

/** What a source reads: a topic, or all that fit a pattern. */
const topicOrPattern = z
  .string()
  .regex(
    /^[a-zA-Z0-9._*-]{1,249}$/,
    'a topic name has letters, digits, ".", "_" and "-", and "*" for any characters (249 characters at most)',
  )

const pipelineName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'a pipeline name has lower-case letters, digits and "-" (63 characters at most)')

export const topicSource = z.strictObject({
  topic: z
    .union([topicOrPattern, z.array(topicOrPattern).min(1)])
    .describe('The topic to read, or a list of them. `orders.*` stands for all topics whose names begin so.'),
  format: z
    .enum(['json', 'avro', 'protobuf'])
    .optional()
    .describe("What the topic's schema is written in, as a check. JSON where there is none."),
  start: z
    .enum(['earliest', 'latest'])
    .default('earliest')
    .describe('Where to begin when the group has no committed position yet.'),
  group: z
    .string()
    .regex(/^[a-zA-Z0-9._-]{1,249}$/, 'a group name has letters, digits, ".", "_" and "-"')
    .optional()
    .describe("The consumer group. The pipeline's name when left out."),
})

const block = z.strictObject({
  events: z.int().min(1).max(1_000_000).default(10_000).describe('Most events in a block.'),
  bytes: byteSize().prefault('8MB').describe('Most bytes of keys and values in a block, such as 8MB.'),
  age: duration().prefault('1s').describe('How long a block stays open after its first event, such as 1s.'),
})

const given = z.strictObject({
  key: z.string().nullable().optional().describe("The event's key."),
  value: z.unknown().describe("The event's value; nothing (null) is a tombstone."),
  headers: z.record(z.string(), z.string()).optional().describe("The event's headers."),
  timestamp: z.int().nonnegative().optional().describe('Milliseconds since the Unix epoch.'),
})

const test = z.strictObject({
  name: z.string().min(1).describe('What the test shows.'),
  given: z.array(given).describe('The events that come in.'),
  expect: z
    .record(z.string(), z.array(z.unknown()))
    .describe('What each output shall hold, such as `live.tickets: []`; `dlq` is the dead letters.'),
})

/** A pipeline file without its components, which the catalog knows: what stands at its top level. */
export const pipelineFrame = z.strictObject({
  name: pipelineName.describe('Names the pipeline: its group, its dead letters `<name>.dlq`, its metrics.'),
  source: z.unknown().describe('Where events come from.'),
  id: z
    .string()
    .min(1)
    .optional()
    .describe(
      "An expression for the event's id: what has the same id replaces what was there. The position when left out.",
    ),
  processors: z.array(z.unknown()).default([]).describe('What happens to each event, in order.'),
  sinks: z.array(z.unknown()).min(1).describe('Where events go.'),
  block: block.prefault({}).describe('When a block of events is closed and committed, whichever limit comes first.'),
  tests: z.array(test).default([]).describe('What comes out when these events come in; run by `millrace test`.'),
})

export type PipelineFrame = z.infer<typeof pipelineFrame>
