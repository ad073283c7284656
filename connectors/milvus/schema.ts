import { createHash } from 'node:crypto'
import { type FieldType, fieldKey, fieldOfKey, isFieldType } from '../../src/core/vector-rules.ts'
import type { CollectionSpec } from '../../src/core/vector-store.ts'
import type { Sdk } from './sdk.ts'

/** The columns of every collection. The fields lie in one JSON column, which takes new ones without a change of schema. */
export const column = {
  key: 'id',
  vector: 'vector',
  fields: 'fields',
  timestamp: 'timestamp',
  topic: 'topic',
  partition: 'partition',
  offset: 'offset',
  longId: 'long_id',
} as const

/** Where a point's words stand among its fields; no field has such a key. */
export const wordsKey = '_words'

/** In bytes of UTF-8, as Milvus counts. */
export const maximumKeyBytes = 512
export const maximumTextBytes = 65_535
export const maximumFieldsBytes = 65_536

const nameProperty = 'millrace.name'
const fingerprintProperty = 'millrace.fingerprint'
const fieldProperty = 'millrace.field.'
const untyped = 'untyped'
const plainName = /^[A-Za-z_][A-Za-z0-9_]*$/

export interface Description {
  readonly fingerprint: string
  readonly dimension: number
  readonly fields: readonly (readonly [name: string, type: FieldType | null])[]
}

/** Milvus' names have no dots or hyphens: a name with them gets others, and a part that keeps it apart. */
export function milvusName(name: string): string {
  if (plainName.test(name)) return name
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 12)
  return `_${name.replaceAll(/[^A-Za-z0-9_]/g, '_')}_${hash}`
}

export function columns({ DataType }: Sdk, dimension: number) {
  return [
    { name: column.key, data_type: DataType.VarChar, is_primary_key: true, max_length: maximumKeyBytes },
    { name: column.vector, data_type: DataType.FloatVector, dim: dimension },
    { name: column.fields, data_type: DataType.JSON },
    { name: column.timestamp, data_type: DataType.Int64 },
    { name: column.topic, data_type: DataType.VarChar, max_length: maximumTextBytes },
    { name: column.partition, data_type: DataType.Int64 },
    { name: column.offset, data_type: DataType.Int64 },
    { name: column.longId, data_type: DataType.VarChar, max_length: maximumTextBytes },
  ]
}

/** Properties of a new collection. */
export function newProperties({ name, fingerprint, fields }: CollectionSpec): Record<string, string> {
  return {
    [nameProperty]: name,
    [fingerprintProperty]: fingerprint,
    ...fieldProperties(fields.map((field) => [field, null])),
  }
}

/** One property per field, so that writers who add different fields at once do not undo each other. */
export function fieldProperties(
  fields: Iterable<readonly [name: string, type: FieldType | null]>,
): Record<string, string> {
  return Object.fromEntries([...fields].map(([name, type]) => [fieldProperty + fieldKey(name), type ?? untyped]))
}

/** What the answer to a description says, as far as it is read. */
interface Described {
  readonly properties: readonly { readonly key: string; readonly value: string | number }[]
  readonly schema: { readonly fields: readonly { readonly name: string; readonly dim?: unknown }[] }
}

/** The collection's name, or undefined for one that Millrace did not make. */
export function collectionName({ properties }: Described): string | undefined {
  const value = properties.find(({ key }) => key === nameProperty)?.value
  return value === undefined ? undefined : String(value)
}

/** What Milvus stores with a collection, or undefined for one that Millrace did not make. */
export function readDescription({ properties, schema }: Described): Description | undefined {
  const values = new Map(properties.map(({ key, value }) => [key, String(value)]))
  const fingerprint = values.get(fingerprintProperty)
  const dimension = Number(schema.fields.find(({ name }) => name === column.vector)?.dim)
  if (fingerprint === undefined || !values.has(nameProperty) || !Number.isInteger(dimension)) return undefined
  const fields = [...values].flatMap(([key, value]) => {
    const field = key.startsWith(fieldProperty) ? fieldOfKey(key.slice(fieldProperty.length)) : undefined
    return field === undefined ? [] : [[field, isFieldType(value) ? value : null] as const]
  })
  return { fingerprint, dimension, fields }
}
