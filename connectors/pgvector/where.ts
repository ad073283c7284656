import type { Condition, Scalar } from '../../src/core/filter.ts'
import { storedValue, wellFormed } from '../../src/core/vector-rules.ts'

const orderOperators = { gt: '>', gte: '>=', lt: '<', lte: '<=' } as const

/**
 * A condition as SQL over the column `fields`, a JSON object in which no value is null. Names and values go into
 * `parameters`; nothing of a filter becomes part of the text. Comparison is that of jsonb, so values of different types
 * are never equal, and numbers are exact. There is no `NOT` around anything that may be NULL.
 */
export function toSql(condition: Condition, parameters: unknown[]): string {
  if ('conditions' in condition) {
    const { operator, conditions } = condition
    if (conditions.length === 0) return constant(operator === 'and')
    const parts = conditions.map((inner) => toSql(inner, parameters))
    return `(${parts.join(operator === 'and' ? ' AND ' : ' OR ')})`
  }
  switch (condition.operator) {
    case 'exists':
      return `(${bindField(condition.field, parameters)}) IS ${condition.value ? 'NOT NULL' : 'NULL'}`
    case 'eq':
    case 'ne': {
      const negative = condition.operator === 'ne'
      if (!isStorable(condition.value)) return constant(negative)
      const field = bindField(condition.field, parameters)
      const value = `${bind(parameters, json(condition.value))}::jsonb`
      return negative ? `(${field}) IS DISTINCT FROM ${value}` : `(${field}) = ${value}`
    }
    case 'in':
    case 'nin': {
      const negative = condition.operator === 'nin'
      const values = condition.values.filter(isStorable)
      if (values.length === 0) return constant(negative)
      const field = bindField(condition.field, parameters)
      const list = `(SELECT jsonb_array_elements(${bind(parameters, `[${values.map(json).join()}]`)}::jsonb))`
      return negative ? `((${field}) IS NULL OR (${field}) NOT IN ${list})` : `(${field}) IN ${list}`
    }
    default:
      return ordered(condition, parameters)
  }
}

function bindField(name: string, parameters: unknown[]): string {
  return `fields -> ${bind(parameters, wellFormed(name))}::text`
}

/** `CASE` keeps a text from ever being read as a number. The collation "C" orders by bytes of UTF-8, that is by code point. */
function ordered(
  { field: name, operator, value }: Extract<Condition, { operator: keyof typeof orderOperators }>,
  parameters: unknown[],
): string {
  const field = bindField(name, parameters)
  const text = field.replace('->', '->>')
  if (typeof value === 'number') {
    const operand = `${bind(parameters, String(value + 0))}::numeric`
    return `CASE jsonb_typeof(${field}) WHEN 'number' THEN (${text})::numeric ${orderOperators[operator]} ${operand} ELSE false END`
  }
  // No stored text has the character NUL, so against one that does its beginning decides, which then is the lesser.
  const [beginning = ''] = value.split('\0')
  const cut = beginning.length < value.length
  const symbol = cut ? (operator === 'gt' || operator === 'gte' ? '>' : '<=') : orderOperators[operator]
  const operand = `${bind(parameters, wellFormed(beginning))}::text COLLATE "C"`
  return `CASE jsonb_typeof(${field}) WHEN 'string' THEN (${text}) COLLATE "C" ${symbol} ${operand} ELSE false END`
}

/** PostgreSQL's texts cannot hold the character NUL. */
export function isStorable(value: unknown): boolean {
  return typeof value !== 'string' || !value.includes('\0')
}

function json(value: Scalar): string {
  return JSON.stringify(storedValue(value))
}

function bind(parameters: unknown[], value: unknown): string {
  parameters.push(value)
  return `$${parameters.length}`
}

function constant(value: boolean): string {
  return value ? 'true' : 'false'
}
