import { z } from 'zod'
import { type BlockSink, defineSink } from '../src/core/component.ts'
import { errorCode, errorMessage, type Rejection } from '../src/core/errors.ts'
import { type Event, isTombstone, type NewRecord } from '../src/core/event.ts'
import type { Expression, Scope } from '../src/core/expression.ts'
import type { Codec } from '../src/core/serde.ts'

const options = z.strictObject({
  topic: z.string().min(1).describe('The topic that is written to; made if need be.'),
  key: z.string().optional().describe("An expression for the record's key. Default: the event's key."),
  partitions: z
    .int()
    .min(1)
    .max(10_000)
    .optional()
    .describe('How many partitions the topic gets when it is made, or grows to.'),
})

const encoder = new TextEncoder()

/** Appends events to a topic, each block once. */
export const topic = defineSink({
  kind: 'sink',
  name: 'topic',
  summary: 'Appends events to a topic in the format of its schema, exactly once. Vectors are not written.',
  example: 'topic: { topic: tickets.classified, key: value.customer }',
  main: 'topic',
  options,
  references: ({ key }) =>
    key === undefined ? [] : [{ kind: 'expression', path: ['key'], text: key, returns: 'string' }],
  topics: ({ topic: name }) => [name],
  async create({ topic: name, key, partitions }, { services, expressions, component }): Promise<BlockSink> {
    const keyOf = key === undefined ? (scope: Scope) => scope.key : expressions.compile(key, 'string')
    const [log, codec] = await Promise.all([services.log(), services.serde.codec(name, 'write')])
    await log.ensureTopic(name, partitions === undefined ? {} : { partitions })
    return {
      takes: 'blocks',
      async write({ events, lane, to }) {
        const rejections: Rejection[] = []
        const records: NewRecord[] = []
        for (const [index, event] of events.entries()) {
          const made = toRecord(event, name, codec, keyOf)
          if ('record' in made) records.push(made.record)
          else rejections.push({ index, ...made })
        }
        if (records.length > 0) {
          await log.append(name, records, { once: { producer: `${lane}/${component}`, sequence: to } })
        }
        return rejections
      },
    }
  },
})

/** The event as a record, or why the topic can never take it. */
function toRecord(
  event: Event,
  topicName: string,
  codec: Codec,
  keyOf: Expression<string | null>,
): { readonly record: NewRecord } | Omit<Rejection, 'index'> {
  const { value, headers, timestamp, id } = event
  const problems = isTombstone(event) ? [] : codec.validate(value)
  if (problems.length > 0) {
    const all = problems.map(({ pointer, message }) => `${pointer === '' ? 'the value' : pointer} ${message}`)
    return {
      code: 'schema_violation',
      message: `The value does not fit the schema of topic "${topicName}": ${all.join('; ')}`,
    }
  }
  try {
    const key = keyOf(event)
    const texts = [...Object.entries(headers), ['millrace-id', id] as const]
    return {
      record: {
        key: key === null ? null : encoder.encode(key),
        value: isTombstone(event) ? null : codec.encode(value),
        headers: Object.fromEntries(texts.map(([name, text]) => [name, encoder.encode(text)])),
        timestamp,
      },
    }
  } catch (error) {
    return { code: errorCode(error) ?? 'encoding_failed', message: errorMessage(error) }
  }
}
