import type { Schema } from 'apache-arrow'
import { type FieldType, type FieldTypes, fieldOfKey } from '../../src/core/vector-rules.ts'

/** Columns of the store itself. A field has a column under its key once its first value that is not null says what type it is. */
export const own = {
  id: '_id',
  vector: '_vector',
  timestamp: '_timestamp',
  topic: '_topic',
  partition: '_partition',
  offset: '_offset',
} as const

/** The fields that a table has: those that were declared, and what those with a column hold. */
export function fieldsOf(schema: Schema, declared: readonly string[]): [string, FieldType | null][] {
  const typed = schema.fields.flatMap(({ name, type }): [string, FieldType][] => {
    const field = fieldOfKey(name)
    return field === undefined ? [] : [[field, columnType(String(type))]]
  })
  return [...declared.map((field): [string, null] => [field, null]), ...typed]
}

/** Fields that have a column, with its type. */
export function typedFields(fields: FieldTypes): [field: string, type: FieldType][] {
  return fields.entries.flatMap(([field, type]) => (type === null ? [] : [[field, type]]))
}

function columnType(arrowType: string): FieldType {
  if (arrowType === 'Int8') return 'boolean'
  return arrowType.includes('Utf8') ? 'string' : 'number'
}
