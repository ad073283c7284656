import type { QueryResult } from '../../src/core/analytics.ts'
import { parseType, type TypeNode, unwrap } from '../../src/core/clickhouse/types.ts'
import { isJsonObject, type Json, type JsonObject } from '../../src/core/event.ts'
import type { CompactResult } from './engine.ts'

type Reading = (value: Json) => Json

/**
 * Rows as objects. ClickHouse sends integers of 64 bits and more, and decimals, as strings: they become numbers where a
 * JavaScript number holds every digit, and stay strings where it does not. So a column may have both; nothing is rounded.
 */
export function toQueryResult({ meta, data }: CompactResult): QueryResult {
  const readings = meta.map(({ type }) => readingOf(type))
  const rows = data.map((values) => {
    const row: Record<string, Json> = {}
    meta.forEach(({ name }, at) => {
      const value = values[at] ?? null
      row[name] = readings[at]?.(value) ?? value
    })
    return row satisfies JsonObject
  })
  return { columns: meta.map(({ name, type }) => ({ name, type })), rows }
}

/** Undefined where values are left as they come. */
function readingOf(text: string): Reading | undefined {
  const type = unwrap(parseType(text))
  if (/^U?Int(64|128|256)$/.test(type.name)) return exactNumber
  if (/^Decimal/.test(type.name)) return exactNumber
  if (type.name === 'Array') return arrayReading(type)
  if (type.name === 'Map') return mapReading(type)
  if (type.name === 'SimpleAggregateFunction') return readingOf(type.args[1] ?? 'String')
  return undefined
}

function arrayReading(type: TypeNode): Reading | undefined {
  const inner = readingOf(type.args[0] ?? 'String')
  if (inner === undefined) return undefined
  return (value) => (Array.isArray(value) ? value.map((item) => inner(item)) : value)
}

function mapReading(type: TypeNode): Reading | undefined {
  const inner = readingOf(type.args[1] ?? 'String')
  if (inner === undefined) return undefined
  return (value) =>
    isJsonObject(value) ? Object.fromEntries(Object.entries(value).map(([key, item]) => [key, inner(item)])) : value
}

/** Decimal digits that every double holds. */
const exactDigits = 15

function exactNumber(value: Json): Json {
  if (typeof value !== 'string') return value
  const number = Number(value)
  if (Number.isSafeInteger(number) && /^-?\d+$/.test(value)) return number
  const digits = value.replace(/[-.]/g, '').replace(/^0+/, '').length
  return digits <= exactDigits && Number.isFinite(number) ? number : value
}
