import { z } from 'zod'
import { type ComponentContext, defineProcessor, type Failure, type Outcome } from '../core/component.ts'
import { type Event, isJsonObject, type Json } from '../core/event.ts'
import type { Expression } from '../core/expression.ts'
import { duration } from '../core/units.ts'
import { type Answer, LookupCache } from './lookup-cache.ts'
import { urlProblem } from './lookup-http.ts'
import { type LookupSource, openLookup } from './lookup-sources.ts'
import { failed, withValue } from './outcome.ts'

const tableName = /^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?$/

const options = z
  .strictObject({
    redis: z
      .string()
      .optional()
      .describe('What the names of Redis hashes begin with; the key follows. Fields are texts.'),
    clickhouse: z
      .string()
      .regex(tableName, 'expected the name of a table, such as customers or reference.customers')
      .optional()
      .describe('In place of `redis`: a ClickHouse table. Of several rows of a key, one is taken.'),
    by: z.string().min(1).optional().describe('The column of the table that holds the key.'),
    http: z
      .string()
      .optional()
      .describe(
        'In place of `redis`: an address that answers JSON, with `{key}` where the key goes. Credentials stand in the ' +
          'runtime, never here.',
      ),
    key: z.string().describe('An expression for the key. Where it gives null, there is nothing to find.'),
    fields: z
      .array(z.string().min(1))
      .min(1)
      .optional()
      .describe('The fields or columns to take. Left out: all of them.'),
    as: z.string().min(1).describe('The field of the event that takes what was found.'),
    ttl: duration()
      .refine((milliseconds) => milliseconds > 0, 'expected a duration above 0')
      .prefault('5m')
      .describe('How long an answer is used again, also the answer that there is nothing.'),
    otherwise: z
      .enum(['drop', 'fail'])
      .optional()
      .describe(
        'What becomes of an event for which nothing is found: `drop` it, or `fail` and dead-letter it. Left out: the ' +
          'field is null.',
      ),
  })
  .refine(
    ({ redis, clickhouse, http }) => [redis, clickhouse, http].filter((place) => place !== undefined).length === 1,
    'give one of "redis", "clickhouse" and "http"',
  )
  .refine(({ clickhouse, by }) => (clickhouse === undefined) === (by === undefined), {
    message: '"clickhouse" and "by" go together',
    path: ['by'],
  })
  .superRefine(({ http }, context) => {
    const message = http === undefined ? undefined : urlProblem(http)
    if (message !== undefined) context.addIssue({ code: 'custom', message, path: ['http'] })
  })

type Options = z.infer<typeof options>

/** Adds reference data to each event. */
export const lookup = defineProcessor({
  kind: 'processor',
  name: 'lookup',
  summary: 'Adds what Redis, ClickHouse or an HTTP service holds under a key. A replay may find newer data.',
  example: 'lookup: { clickhouse: customers, by: id, key: value.customer, fields: [name, tier], as: customer }',
  options,
  references: ({ key }) => [{ kind: 'expression', path: ['key'], text: key, returns: 'any' }],
  shape: ({ as }, input) => (input.fields === undefined ? input : { ...input, fields: new Set([...input.fields, as]) }),
  async create(options, context) {
    const keyOf = context.expressions.compile(options.key, 'any')
    const cache = new LookupCache(await openLookup(sourceOf(options), context.services), options.ttl)
    return {
      async process(batch, { signal }) {
        const keys = batch.map((event) => keyFor(event, keyOf, context))
        const answers = await cache.get(new Set(keys.filter((key) => typeof key === 'string')), signal)
        return batch.map((event, index) => joined(event, keys[index] ?? null, answers, options, context))
      },
    }
  },
})

function sourceOf({ redis, clickhouse, by, http, fields }: Options): LookupSource {
  if (redis !== undefined) return { kind: 'redis', prefix: redis, fields }
  if (clickhouse !== undefined) return { kind: 'clickhouse', table: clickhouse, by: by ?? '', fields }
  return { kind: 'http', url: http ?? '', fields }
}

function keyFor(event: Event, keyOf: Expression<Json>, { component }: ComponentContext): string | null | Failure {
  try {
    const key = keyOf(event)
    if (key === null || typeof key === 'string') return key
    if (typeof key === 'number' || typeof key === 'boolean') return String(key)
  } catch (error) {
    return failed(error)
  }
  return {
    failed: true,
    code: 'bad_lookup_key',
    message: `${component}: the key is a list or an object, not one value.`,
  }
}

function joined(
  event: Event,
  key: string | null | Failure,
  answers: ReadonlyMap<string, Answer>,
  { as, otherwise }: Options,
  { component }: ComponentContext,
): Outcome {
  if (typeof key === 'object' && key !== null) return key
  if (!isJsonObject(event.value)) {
    const message = `${component}: the value is no object, so it cannot take the field "${as}". Use "map" before it.`
    return { failed: true, code: 'value_not_object', message }
  }
  const answer: Answer = key === null ? { found: false } : (answers.get(key) ?? { found: false })
  if ('failed' in answer) return { ...answer, message: `${component}: ${answer.message}` }
  if (answer.found) return withValue(event, { ...event.value, [as]: answer.value })
  if (otherwise === 'drop') return null
  if (otherwise === undefined) return withValue(event, { ...event.value, [as]: null })
  const message = key === null ? 'the key is null.' : `there is nothing under the key "${key}".`
  return { failed: true, code: 'lookup_missing', message: `${component}: ${message}` }
}
