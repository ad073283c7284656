import type { JsonValue } from '../client/index.ts'

type JsonObject = { readonly [name: string]: JsonValue }

/**
 * A value that fits a JSON Schema or an Avro schema well enough to start from: its own example if it has one, else
 * something for each field. What it does not understand becomes an empty text.
 */
export function exampleOf(schema: JsonValue | undefined, depth = 0): JsonValue {
  if (typeof schema === 'string') return ofType(schema, {}, depth)
  if (isArray(schema)) return exampleOf(schema.find((option) => option !== 'null') ?? null, depth)
  if (!isObject(schema) || depth > 6) return ''
  for (const given of ['default', 'example', 'const']) {
    const value = schema[given]
    if (value !== undefined && value !== null) return value
  }
  for (const list of ['examples', 'enum', 'symbols']) {
    const first = isArray(schema[list]) ? schema[list][0] : undefined
    if (first !== undefined) return first
  }
  for (const list of ['anyOf', 'oneOf', 'allOf']) {
    if (isArray(schema[list])) return exampleOf(schema[list], depth + 1)
  }
  const type = isArray(schema.type) ? schema.type.find((one) => one !== 'null') : schema.type
  if (isObject(type)) return exampleOf(type, depth + 1)
  return ofType(type ?? (isObject(schema.properties) ? 'object' : 'string'), schema, depth)
}

function ofType(type: JsonValue, schema: JsonObject, depth: number): JsonValue {
  switch (type) {
    case 'object':
      return ofFields(Object.entries(isObject(schema.properties) ? schema.properties : {}), depth)
    case 'record':
      return ofFields(
        (isArray(schema.fields) ? schema.fields : []).filter(isObject).map((field) => {
          return [String(field.name), field.default === undefined ? (field.type ?? '') : field]
        }),
        depth,
      )
    case 'array':
      return schema.items === undefined ? [] : [exampleOf(schema.items, depth + 1)]
    case 'map':
      return {}
    case 'boolean':
      return true
    case 'integer':
    case 'int':
    case 'long':
    case 'number':
    case 'float':
    case 'double':
      return typeof schema.minimum === 'number' ? schema.minimum : 1
    case 'null':
      return null
    default:
      return 'text'
  }
}

function ofFields(fields: readonly (readonly [string, JsonValue])[], depth: number): JsonObject {
  return Object.fromEntries(fields.map(([name, schema]) => [name, exampleOf(schema, depth + 1)]))
}

function isArray(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value)
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
