import { z } from 'zod'
import { type ComponentContext, defineProcessor, type Failure, type Outcome } from '../core/component.ts'
import type { Embedder } from '../core/embedder.ts'
import { Fatal } from '../core/errors.ts'
import { type Event, isJsonObject, type Json, type JsonObject } from '../core/event.ts'
import type { Expression } from '../core/expression.ts'
import { type Filter, filterSchema } from '../core/filter.ts'
import { didYouMean } from '../core/nearest.ts'
import { duration } from '../core/units.ts'
import { assertSameVectors, collectionOption } from '../core/vector-rules.ts'
import type { Collection, Match, VectorStore } from '../core/vector-store.ts'
import { defaultRecencyWeight, search } from '../search/search.ts'
import { failed, withValue } from './outcome.ts'
import { eitherOr, meaningOptions, meaningReferences, meaningsOf } from './texts.ts'

const recency = z.strictObject({
  halfLife: duration()
    .refine((milliseconds) => milliseconds > 0, 'expected a duration above 0')
    .describe('The age at which the part of the score that fades is half as much.'),
  weight: z.number().min(0).max(1).default(defaultRecencyWeight).describe('How large that part is, from 0 to 1.'),
})

const options = z
  .strictObject({
    collection: collectionOption.describe('The collection that is searched. While it is not there, nothing is found.'),
    ...meaningOptions,
    as: z
      .string()
      .min(1)
      .default('similar')
      .describe('The field that takes the list, the nearest first: `[{ id, score, timestamp, fields }]`.'),
    k: z.int().min(1).max(100).default(3).describe('How many at most.'),
    minScore: z.number().min(-1).max(1).optional().describe('The least score. Left out: the nearest always count.'),
    filter: filterSchema.optional().describe('A condition on the stored fields: `{ category: billing }`.'),
    where: z
      .record(z.string().min(1), z.string())
      .default({})
      .describe(
        'Stored fields and the expressions they must equal: `{ customer: value.customer }`. Nothing equals null, so an ' +
          'event without a customer finds nothing.',
      ),
    fields: z.array(z.string().min(1)).default([]).describe('The stored fields that come along.'),
    recency: recency
      .optional()
      .describe('Lets the score fade with age, as of the event: `{ halfLife: 30d, weight: 0.3 }`.'),
  })
  .refine(...eitherOr)

type Options = z.infer<typeof options>

/** Joins stored events that are near in meaning onto each event. */
export const similar = defineProcessor({
  kind: 'processor',
  name: 'similar',
  summary: 'Adds a list of the stored events of a collection that are nearest in meaning. A replay may find others.',
  example: 'similar: { collection: tickets, vector: meaning, k: 3, minScore: 0.5, fields: [subject] }',
  options,
  references: (given) => [
    ...meaningReferences(given),
    ...Object.entries(given.where).map(([field, text]) => {
      return { kind: 'expression', path: ['where', field], text, returns: 'any' } as const
    }),
  ],
  shape: ({ as }, input) => (input.fields === undefined ? input : { ...input, fields: new Set([...input.fields, as]) }),
  async create(options, context) {
    const { services, expressions, component } = context
    const [store, embedder] = await Promise.all([services.vectors(), services.embedder()])
    const meanings = meaningsOf(options, embedder, context)
    const where = Object.entries(options.where).map(
      ([field, text]) => [field, expressions.compile(text, 'any')] as const,
    )
    return {
      async process(batch, { signal }) {
        const vectors = await meanings(batch, signal)
        const wanted = batch.map((event, index) => wantedBy(event, vectors[index], where, options, component))
        const collection = await comparable(options, store, embedder, context)
        return sideBySide(wanted, async (one): Promise<Outcome> => {
          signal.throwIfAborted()
          if ('failed' in one) return one
          const matches = collection === undefined ? [] : await nearest(collection, one, options)
          return withValue(one.event, { ...one.value, [options.as]: matches.map((match) => shown(match, options)) })
        })
      },
    }
  },
})

/** The collection as it is now: it may have been made, deleted or moved since the batch before. */
async function comparable(
  { collection: name, fields }: Options,
  store: VectorStore,
  { fingerprint, dimension }: Embedder,
  { component }: ComponentContext,
): Promise<Collection | undefined> {
  const collection = await store.find(name)
  if (collection === undefined) return undefined
  const { spec } = collection
  assertSameVectors(spec, { ...spec, fingerprint, dimension })
  const missing = fields.find((field) => !spec.fields.includes(field))
  if (missing === undefined) return collection
  throw new Fatal({
    code: 'unknown_field',
    message: `${component}: collection "${name}" has no field "${missing}"${didYouMean(missing, spec.fields)}.`,
    hint: `It has what the "vectors" sink that fills it names: ${spec.fields.join(', ') || 'nothing'}.`,
  })
}

/** An event that searches. */
interface Wanted {
  readonly event: Event
  readonly value: JsonObject
  readonly vector: Float32Array
  /** All must hold; `undefined` if nothing can be found. */
  readonly conditions: readonly Filter[] | undefined
}

function wantedBy(
  event: Event,
  vector: Float32Array | Failure | undefined,
  where: readonly (readonly [field: string, expression: Expression<Json>])[],
  { filter, as }: Options,
  component: string,
): Wanted | Failure {
  if (vector === undefined) throw new Error('there are fewer vectors than events')
  if ('failed' in vector) return vector
  const { value } = event
  if (!isJsonObject(value)) {
    const message = `${component}: the value is no object, so it cannot take the field "${as}". Use "map" before it.`
    return { failed: true, code: 'value_not_object', message }
  }
  const conditions: Filter[] = filter === undefined ? [] : [filter]
  try {
    for (const [field, expression] of where) {
      const wanted = expression(event)
      if (wanted === null) return { event, value, vector, conditions: undefined }
      if (typeof wanted === 'object') return badWhere(field, component)
      conditions.push({ [field]: { $eq: wanted } })
    }
  } catch (error) {
    return failed(error)
  }
  return { event, value, vector, conditions }
}

function badWhere(field: string, component: string): Failure {
  const message = `${component}: "where" compares "${field}" with a list or an object, not with one value.`
  return { failed: true, code: 'bad_where', message }
}

/** The nearest of what may well be later than the event, or be the event, is asked for beside those that count. */
const spare = 8
const mostAsked = 500

async function nearest(
  collection: Collection,
  { event, vector, conditions }: Wanted,
  { k, minScore, recency }: Options,
): Promise<Match[]> {
  if (conditions === undefined) return []
  const filter = conditions.length === 0 ? undefined : { $and: conditions }
  for (let asked = k + spare; ; asked = Math.min(4 * asked, mostAsked)) {
    const found = await search(collection, { vector, k: asked, filter, minScore, recency }, () => event.timestamp)
    const counting = found.filter((match) => isEarlier(match, event) && !isFormer(match, event))
    if (counting.length >= k || found.length < asked || asked === mostAsked) return counting.slice(0, k)
  }
}

/**
 * Of the event's own topic only what came before it counts, so that a replay does not find its future; pieces of one event
 * share its position. Other topics may be filled at any time, and all of them counts.
 */
function isEarlier({ position, timestamp }: Match, event: Event): boolean {
  const { topic, partition, offset } = event.position
  if (position.topic !== topic) return true
  return position.partition === partition ? position.offset < offset : timestamp <= event.timestamp
}

/** Whether it is an earlier version of the event itself, or a piece of one. */
function isFormer({ id, position }: Match, event: Event): boolean {
  return position.topic === event.position.topic && whole(id) === whole(event.id)
}

/** The id of what a piece `<id>#<n>` was made of. */
function whole(id: string): string {
  return id.replace(/(?:#\d+)+$/, '')
}

function shown({ id, score, timestamp, fields }: Match, options: Options): JsonObject {
  const along = options.fields.map(
    (name) => [name, Object.hasOwn(fields, name) ? (fields[name] ?? null) : null] as const,
  )
  return { id, score, timestamp, fields: Object.fromEntries(along) }
}

const searchesAtATime = 8

/** What becomes of each item, by index. After a failure none is begun any more, and those under way have ended. */
async function sideBySide<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = []
  const rest = items.entries()
  let stopped = false
  const workInTurn = async () => {
    for (const [index, item] of rest) {
      if (stopped) return
      try {
        results[index] = await work(item)
      } catch (error) {
        stopped = true
        throw error
      }
    }
  }
  const workers = Array.from({ length: searchesAtATime }, workInTurn)
  await Promise.allSettled(workers)
  await Promise.all(workers)
  return results
}
