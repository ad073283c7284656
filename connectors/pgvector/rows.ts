import { z } from 'zod'
import type { FieldType } from '../../src/core/vector-rules.ts'
import type { CollectionSpec, Match, StoredPoint, VectorPoint } from '../../src/core/vector-store.ts'
import { isStorable } from './where.ts'

const fieldType = z.enum(['string', 'number', 'boolean'])
/** A row of the table of collections. */
const about = z.object({
  name: z.string(),
  table_name: z.string(),
  fingerprint: z.string(),
  dimension: z.number(),
  fields: z.record(z.string(), fieldType.nullable()),
})

/** A collection as the table of collections has it. */
export interface StoredCollection extends Omit<CollectionSpec, 'fields'> {
  readonly table: string
  readonly types: readonly (readonly [string, FieldType | null])[]
}

export function storedCollection(row: unknown): StoredCollection {
  const { name, table_name: table, fingerprint, dimension, fields } = about.parse(row)
  return { name, table, fingerprint, dimension, types: Object.entries(fields) }
}

/** bigint comes as text from the driver; offsets and timestamps are safe integers. */
const stored = z.object({
  id: z.string(),
  fields: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
  timestamp: z.coerce.number(),
  topic: z.string(),
  partition: z.number(),
  offset: z.coerce.number(),
})
const scored = stored.extend({ score: z.number() })

export const pointColumns = 'id, fields, timestamp, topic, partition, "offset"'

export function toStoredPoint(row: unknown): StoredPoint {
  const { id, fields, timestamp, topic, partition, offset } = stored.parse(row)
  return { id, fields, timestamp, position: { topic, partition, offset } }
}

export function toMatch(row: unknown): Match {
  const { score } = scored.parse(row)
  return { ...toStoredPoint(row), score: Math.max(-1, Math.min(1, score)) }
}

/** Points as one array for each column, as `unnest` takes them. */
export function toColumns(points: readonly VectorPoint[]): unknown[] {
  return [
    points.map(({ id }) => id),
    points.map(({ vector }) => vectorText(vector)),
    points.map(({ fields }) => fieldsJson(fields)),
    points.map(({ timestamp }) => timestamp),
    points.map(({ position }) => position.topic),
    points.map(({ position }) => position.partition),
    points.map(({ position }) => position.offset),
  ]
}

export function vectorText(vector: Float32Array): string {
  return `[${vector.join()}]`
}

/** Fields that are null are left out: they are the same as missing ones. */
function fieldsJson(fields: VectorPoint['fields']): string {
  return JSON.stringify(Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null)))
}

const longestId = 2_000

/** Why PostgreSQL cannot hold a point that any store could, or undefined. */
export function unstorable({ id, fields }: VectorPoint): { code: string; message: string } | undefined {
  if (!isStorable(id) || Buffer.byteLength(id) > longestId) {
    const message = `The id has the character NUL or more than ${longestId} bytes, which PostgreSQL cannot store.`
    return { code: 'bad_id', message }
  }
  for (const [name, value] of Object.entries(fields)) {
    if (isStorable(value) && isStorable(name)) continue
    return { code: 'bad_field', message: `The field "${name}" has the character NUL, which PostgreSQL cannot store.` }
  }
  return undefined
}
