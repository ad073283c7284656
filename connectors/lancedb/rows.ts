import type { Data, Schema, Table, Vector } from 'apache-arrow'
import type { FieldValue } from '../../src/core/filter.ts'
import { type FieldType, type FieldTypes, fieldKey } from '../../src/core/vector-rules.ts'
import type { Match, StoredPoint, VectorPoint } from '../../src/core/vector-store.ts'
import { columnData, vectorData, vectorType } from './arrow-data.ts'
import { own, typedFields } from './columns.ts'
import type { Sdk } from './sdk.ts'

const metadataKey = 'millrace'
const fieldsKey = 'millrace.fields'
export const distanceColumn = '_distance'

/** Columns of a point: everything but the vector. */
export function pointColumns(columns: FieldTypes): string[] {
  const fields = typedFields(columns).map(([field]) => fieldKey(field))
  return [own.id, own.timestamp, own.topic, own.partition, own.offset, ...fields]
}

/** Columns that a search reads. */
export function resultColumns(columns: FieldTypes): string[] {
  return [...pointColumns(columns), distanceColumn]
}

/** The schema of a new table, which carries the fingerprint of its vectors and the names of its fields. */
export function newSchema({ arrow }: Sdk, fingerprint: string, dimension: number, fields: readonly string[]): Schema {
  return new arrow.Schema(
    [
      new arrow.Field(own.id, new arrow.Utf8(), false, new Map(Object.entries(fieldsMetadata(fields)))),
      new arrow.Field(own.vector, vectorType(arrow, dimension), false),
      new arrow.Field(own.timestamp, new arrow.Float64(), false),
      new arrow.Field(own.topic, new arrow.Utf8(), false),
      new arrow.Field(own.partition, new arrow.Float64(), false),
      new arrow.Field(own.offset, new arrow.Float64(), false),
    ],
    new Map([[metadataKey, JSON.stringify({ fingerprint, dimension })]]),
  )
}

/** Metadata of the id column: the fields that were declared, some of which may not have a column yet. */
export function fieldsMetadata(fields: readonly string[]): Record<string, string> {
  return { [fieldsKey]: JSON.stringify(fields) }
}

/** What a table's schema says about its collection, or undefined if the table is not one of ours. */
export function readSchema(
  schema: Schema,
): { fingerprint: string; dimension: number; fields: readonly string[] } | undefined {
  const about = parse(schema.metadata.get(metadataKey))
  const fields = parse(schema.fields.find(({ name }) => name === own.id)?.metadata.get(fieldsKey))
  if (typeof about !== 'object' || about === null || !('fingerprint' in about) || !('dimension' in about)) return
  const { fingerprint, dimension } = about
  if (typeof fingerprint !== 'string' || typeof dimension !== 'number' || !Array.isArray(fields)) return
  return { fingerprint, dimension, fields: fields.filter((field) => typeof field === 'string') }
}

function parse(json: string | undefined): unknown {
  try {
    return json === undefined ? undefined : JSON.parse(json)
  } catch {
    return undefined
  }
}

/** Points as one Arrow table under the table's schema. */
export function toArrow({ arrow }: Sdk, schema: Schema, columns: FieldTypes, points: readonly VectorPoint[]): Table {
  const fields = new Map(typedFields(columns).map(([field, type]) => [fieldKey(field), { field, type }]))
  const children = schema.fields.map(({ name }): Data => {
    if (name === own.vector) {
      return vectorData(
        arrow,
        points.map(({ vector }) => vector),
      )
    }
    const read = ownValue[name]
    if (read !== undefined) return columnData(arrow, read.type, points.map(read.of))
    const { field = name, type = 'string' } = fields.get(name) ?? {}
    const values = points.map((point) => (Object.hasOwn(point.fields, field) ? (point.fields[field] ?? null) : null))
    return columnData(arrow, type, values)
  })
  const struct = arrow.makeData({
    type: new arrow.Struct(schema.fields),
    length: points.length,
    nullCount: 0,
    children,
  })
  return new arrow.Table(schema, [new arrow.RecordBatch(schema, struct)])
}

const ownValue: Readonly<Record<string, { type: FieldType; of: (point: VectorPoint) => FieldValue }>> = {
  [own.id]: { type: 'string', of: ({ id }) => id },
  [own.timestamp]: { type: 'number', of: ({ timestamp }) => timestamp },
  [own.topic]: { type: 'string', of: ({ position }) => position.topic },
  [own.partition]: { type: 'number', of: ({ position }) => position.partition },
  [own.offset]: { type: 'number', of: ({ position }) => position.offset },
}

/** Matches as a search returned them, best first. */
export function toMatches(table: Table, columns: FieldTypes): Match[] {
  const scores = toScores(table)
  return toStoredPoints(table, columns).map((point, row) => ({ ...point, score: scores[row]?.score ?? -1 }))
}

/** The same, without what is stored. */
export function toScores(table: Table): { readonly id: string; readonly score: number }[] {
  const [id, distance] = [table.getChild(own.id), table.getChild(distanceColumn)]
  return Array.from({ length: table.numRows }, (_, row) => ({
    id: String(id?.get(row)),
    score: Math.max(-1, Math.min(1, 1 - Number(distance?.get(row)))),
  }))
}

export function toStoredPoints(table: Table, columns: FieldTypes): StoredPoint[] {
  const column = (name: string): Vector | null => table.getChild(name)
  const [id, timestamp, topic, partition, offset] = [own.id, own.timestamp, own.topic, own.partition, own.offset].map(
    column,
  )
  const fields = typedFields(columns).map(([field, type]) => ({ field, type, values: column(fieldKey(field)) }))
  return Array.from({ length: table.numRows }, (_, row) => ({
    id: String(id?.get(row)),
    fields: Object.fromEntries(fields.map(({ field, type, values }) => [field, cell(values?.get(row), type)])),
    timestamp: Number(timestamp?.get(row)),
    position: {
      topic: String(topic?.get(row)),
      partition: Number(partition?.get(row)),
      offset: Number(offset?.get(row)),
    },
  }))
}

function cell(value: unknown, type: FieldType): FieldValue {
  if (value === null || value === undefined) return null
  if (type === 'boolean') return Boolean(value)
  return type === 'number' ? Number(value) : String(value)
}
