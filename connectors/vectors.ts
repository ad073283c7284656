import { z } from 'zod'
import { defineSink, type EventSink } from '../src/core/component.ts'
import type { Rejection } from '../src/core/errors.ts'
import { type Event, isJsonObject, isTombstone, type Json } from '../src/core/event.ts'
import type { FieldValue } from '../src/core/filter.ts'
import type { Collection, VectorPoint } from '../src/core/vector-store.ts'

const options = z.strictObject({
  collection: z.string().min(1).describe('The collection in the vector store that is written to; made if need be.'),
  vector: z.string().min(1).describe('The vector that is stored, by the name that `embed` gave it with `as`.'),
  fields: z
    .array(z.string().min(1))
    .default([])
    .describe(
      'Fields of the value that are stored beside the vector, for filters and results. Objects and arrays are stored as JSON text.',
    ),
})

/** Upserts events into a collection under their ids; a tombstone deletes. */
export const vectors = defineSink({
  kind: 'sink',
  name: 'vectors',
  summary: 'Stores vectors with fields in a collection, where they can be searched. A tombstone deletes its vector.',
  example: 'vectors: { collection: tickets, vector: meaning, fields: [category, subject] }',
  main: 'collection',
  options,
  references: ({ vector, fields }) => [
    { kind: 'vector', path: ['vector'], name: vector },
    ...fields.map((name, index) => ({ kind: 'field' as const, path: ['fields', index], name })),
  ],
  async create({ collection: name, vector, fields }, { services }) {
    const [store, { fingerprint, dimension }] = await Promise.all([services.vectors(), services.embedder()])
    return new VectorSink(await store.open({ name, fingerprint, dimension, fields }), vector, fields)
  },
})

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
  readonly #vector: string
  readonly #fields: readonly string[]

  constructor(collection: Collection, vector: string, fields: readonly string[]) {
    this.#collection = collection
    this.#vector = vector
    this.#fields = fields
  }

  /** Leaves the store as if the events had been written one after the other. */
  async write(events: readonly Event[]): Promise<Rejection[]> {
    const rejections: Rejection[] = []
    const changes = new Map<string, Change[]>()
    for (const [index, event] of events.entries()) {
      const { id } = event
      const vector = event.vectors[this.#vector]
      const point = isTombstone(event) ? undefined : this.#point(event, vector)
      if (point === undefined && !isTombstone(event)) {
        rejections.push({ index, ...this.#missing(event) })
        continue
      }
      const change = { index, id, point }
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
    const [refused] = await Promise.all([
      upserts.length > 0 ? this.#collection.upsert(upserts.map(({ point }) => point)) : [],
      deletes.length > 0 ? this.#collection.delete(deletes) : undefined,
    ])
    return refused.flatMap((rejection) => {
      const upsert = upserts[rejection.index]
      return upsert === undefined ? [] : [{ ...rejection, index: upsert.index }]
    })
  }

  #point({ id, value, timestamp, position }: Event, vector: Float32Array | undefined): VectorPoint | undefined {
    if (vector === undefined) return undefined
    const fields = this.#fields.map((name) => [name, isJsonObject(value) ? scalar(own(value, name)) : null] as const)
    return { id, vector, fields: Object.fromEntries(fields), timestamp, position }
  }

  #missing({ vectors }: Event): Omit<Rejection, 'index'> {
    const names = Object.keys(vectors)
    const has = names.length === 0 ? 'it has none' : `it has ${names.join(', ')}`
    return { code: 'missing_vector', message: `The event has no vector "${this.#vector}" (${has}).` }
  }
}

function own(value: Readonly<Record<string, Json>>, name: string): Json {
  return Object.hasOwn(value, name) ? (value[name] ?? null) : null
}

function scalar(value: Json): FieldValue {
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : value
}
