import { z } from 'zod'
import { defineSink, type EventSink } from '../src/core/component.ts'
import type { Rejection } from '../src/core/errors.ts'
import { type Event, isJsonObject, isTombstone, type Json } from '../src/core/event.ts'
import type { FieldValue } from '../src/core/filter.ts'
import type { Services } from '../src/core/services.ts'
import { collectionOption } from '../src/core/vector-rules.ts'
import type { Collection, VectorPoint } from '../src/core/vector-store.ts'
import { allDone } from '../src/core/vector-writes.ts'

const options = z
  .strictObject({
    collection: collectionOption.describe('The collection in the vector store that is written to; made if need be.'),
    vector: z
      .string()
      .min(1)
      .optional()
      .describe('The vector that is stored, by the name that `embed` gave it with `as`.'),
    field: z
      .string()
      .min(1)
      .optional()
      .describe(
        'In place of `vector`: the field of the value with a vector that came with the event, a list of numbers.',
      ),
    dimension: z
      .int()
      .min(1)
      .max(65_536)
      .optional()
      .describe('With `field`: how many numbers each vector has. An event with more or fewer is dead-lettered.'),
    fields: z
      .array(z.string().min(1))
      .default([])
      .describe(
        'Fields of the value that are stored beside the vector, for filters and results. Objects and arrays are stored as JSON text.',
      ),
  })
  .refine(({ vector, field }) => (vector === undefined) !== (field === undefined), 'give either "vector" or "field"')
  .refine(({ field, dimension }) => (field === undefined) === (dimension === undefined), {
    message: '"field" and "dimension" go together',
    path: ['dimension'],
  })

type Options = z.infer<typeof options>

/** Upserts events into a collection under their ids; a tombstone deletes. */
export const vectors = defineSink({
  kind: 'sink',
  name: 'vectors',
  summary: 'Stores vectors with fields in a collection, where they can be searched. A tombstone deletes its vector.',
  example: 'vectors: { collection: tickets, vector: meaning, fields: [category, subject] }',
  main: 'collection',
  options,
  references: ({ vector, field, fields }) => [
    ...(vector === undefined ? [] : [{ kind: 'vector', path: ['vector'], name: vector } as const]),
    ...(field === undefined ? [] : [{ kind: 'field', path: ['field'], name: field } as const]),
    ...fields.map((name, index) => ({ kind: 'field' as const, path: ['fields', index], name })),
  ],
  async create(given, { services }) {
    const { collection: name, fields } = given
    const [store, space] = await Promise.all([services.vectors(), spaceOf(given, services)])
    return new VectorSink(await store.open({ name, ...space, fields }), sourceOf(given), fields)
  },
})

/** Vectors that came with the events were made by no model of ours, so a text cannot be compared with them. */
async function spaceOf(
  { dimension }: Options,
  services: Services,
): Promise<{ readonly fingerprint: string; readonly dimension: number }> {
  if (dimension !== undefined) return { fingerprint: 'none', dimension }
  const embedder = await services.embedder()
  return { fingerprint: embedder.fingerprint, dimension: embedder.dimension }
}

/** Where an event has its vector. The answer is why it has none, if so. */
type VectorSource = (event: Event) => Float32Array | Omit<Rejection, 'index'>

function sourceOf({ vector = '', field }: Options): VectorSource {
  if (field !== undefined) return (event) => givenVector(event, field)
  return ({ vectors: made }) => {
    const names = Object.keys(made)
    const has = names.length === 0 ? 'it has none' : `it has ${names.join(', ')}`
    return made[vector] ?? { code: 'missing_vector', message: `The event has no vector "${vector}" (${has}).` }
  }
}

function givenVector({ value }: Event, field: string): Float32Array | Omit<Rejection, 'index'> {
  const given = isJsonObject(value) ? own(value, field) : null
  if (Array.isArray(given) && given.every((each) => typeof each === 'number')) return Float32Array.from(given)
  const found = given === null ? 'nothing' : Array.isArray(given) ? 'a list of other things' : `a ${typeof given}`
  return {
    code: 'missing_vector',
    message: `The field "${field}" has ${found} in place of a vector, a list of numbers.`,
  }
}

/** One change of one id, and where in the batch it came from. */
interface Change {
  readonly index: number
  readonly id: string
  /** `undefined` deletes. */
  readonly point: VectorPoint | undefined
}

class VectorSink implements EventSink {
  readonly takes = 'events'
  readonly #collection: Collection
  readonly #source: VectorSource
  readonly #fields: readonly string[]

  constructor(collection: Collection, source: VectorSource, fields: readonly string[]) {
    this.#collection = collection
    this.#source = source
    this.#fields = fields
  }

  /** Leaves the store as if the events had been written one after the other. */
  async write(events: readonly Event[]): Promise<Rejection[]> {
    const rejections: Rejection[] = []
    const changes = new Map<string, Change[]>()
    for (const [index, event] of events.entries()) {
      const { id } = event
      const vector = isTombstone(event) ? undefined : this.#source(event)
      if (vector !== undefined && 'code' in vector) {
        rejections.push({ index, ...vector })
        continue
      }
      const change = { index, id, point: vector && this.#point(event, vector) }
      const ofId = changes.get(id)
      if (ofId === undefined) changes.set(id, [change])
      else ofId.push(change)
    }
    // The last change of each id counts; one that the store refuses leaves the place to the change before it.
    while (changes.size > 0) {
      const refused = await this.#apply([...changes.values()].flatMap((ofId) => ofId.at(-1) ?? []))
      rejections.push(...refused)
      const indexes = new Set(refused.map(({ index }) => index))
      for (const [id, ofId] of changes) {
        const last = ofId.pop()
        if (last === undefined || !indexes.has(last.index) || ofId.length === 0) changes.delete(id)
      }
    }
    return rejections.sort((left, right) => left.index - right.index)
  }

  /** Every id occurs once, so upserts and deletes may go side by side. */
  async #apply(changes: readonly Change[]): Promise<Rejection[]> {
    const upserts = changes.flatMap(({ index, point }) => (point === undefined ? [] : [{ index, point }]))
    const deletes = changes.flatMap(({ id, point }) => (point === undefined ? [id] : []))
    const points = upserts.map(({ point }) => point)
    const [refused = []] = await allDone([
      points.length > 0 ? this.#collection.upsert(points) : [],
      deletes.length > 0 ? this.#collection.delete(deletes).then(() => []) : [],
    ])
    return refused.flatMap((rejection) => {
      const upsert = upserts[rejection.index]
      return upsert === undefined ? [] : [{ ...rejection, index: upsert.index }]
    })
  }

  #point({ id, value, timestamp, position }: Event, vector: Float32Array): VectorPoint {
    const fields = this.#fields.map((name) => [name, isJsonObject(value) ? scalar(own(value, name)) : null] as const)
    return { id, vector, fields: Object.fromEntries(fields), timestamp, position }
  }
}

function own(value: Readonly<Record<string, Json>>, name: string): Json {
  return Object.hasOwn(value, name) ? (value[name] ?? null) : null
}

function scalar(value: Json): FieldValue {
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : value
}
