import { type Condition, matchesCondition, type Scalar } from '../../src/core/filter.ts'
import { type FieldType, type FieldTypes, fieldKey, wellFormed } from '../../src/core/vector-rules.ts'
import { column, wordsKey } from './schema.ts'

/** An expression of Milvus, or what it comes to when that does not depend on the entity. */
export type Predicate = string | boolean

const int64Limit = 2 ** 63
const orderOperators = { gt: '>', gte: '>=', lt: '<', lte: '<=' } as const

/**
 * A condition as an expression over the JSON column. A field has one type in a collection, so a comparison with a value
 * of another type is decided here; so is what Milvus' versions disagree on, whether `!=` holds for a missing field.
 * `in` is spelt as equalities, since Milvus Lite takes no list for a path in JSON.
 */
export function toExpression(condition: Condition, fields: FieldTypes): Predicate {
  if ('conditions' in condition) {
    const parts = condition.conditions.map((inner) => toExpression(inner, fields))
    return join(parts, condition.operator)
  }
  const type = fields.type(condition.field)
  // Without a type every value is null.
  if (type === undefined) return matchesCondition(condition, {})
  const path = `${column.fields}["${fieldKey(condition.field)}"]`
  switch (condition.operator) {
    case 'exists':
      return condition.value ? `exists ${path}` : `not (exists ${path})`
    case 'eq':
      return isOfType(condition.value, type) && `${path} == ${literal(condition.value)}`
    case 'ne':
      return differs(path, [condition.value], type)
    case 'in': {
      const equalities = condition.values.filter((value) => isOfType(value, type))
      return join(
        equalities.map((value) => `${path} == ${literal(value)}`),
        'or',
      )
    }
    case 'nin':
      return differs(path, condition.values, type)
    default:
      return (
        isOfType(condition.value, type) && `${path} ${orderOperators[condition.operator]} ${literal(condition.value)}`
      )
  }
}

function differs(path: string, values: readonly Scalar[], type: FieldType): Predicate {
  const inequalities = values.filter((value) => isOfType(value, type)).map((value) => `${path} != ${literal(value)}`)
  return inequalities.length === 0 || `(not (exists ${path}) or ${join(inequalities, 'and')})`
}

/** Empty conjunctions hold, empty disjunctions do not. */
function join(parts: readonly Predicate[], operator: 'and' | 'or'): Predicate {
  const neutral = operator === 'and'
  if (parts.includes(!neutral)) return !neutral
  const texts = parts.filter((part) => typeof part === 'string')
  if (texts.length === 0) return neutral
  return texts.length === 1 ? texts.join('') : `(${texts.join(` ${operator} `)})`
}

/** A predicate, and that the entity has all of some words. */
export function havingWords(predicate: Predicate, words: readonly string[]): Predicate {
  const having = words.map((word) => `json_contains(${column.fields}["${wordsKey}"], ${literal(word)})`)
  return join([predicate, ...having], 'and')
}

/** `id in […]`, which Milvus knows as a delete or a look-up by key. */
export function keysExpression(keys: readonly string[]): string {
  return `${column.key} in [${keys.map(literal).join(', ')}]`
}

/** The keys behind this one, in the order of their UTF-8. No key is empty, so all are behind the empty text. */
export function keysAfter(key: string): string {
  return `${column.key} > ${literal(key)}`
}

function literal(value: Scalar): string {
  if (typeof value === 'string') return quote(value)
  if (typeof value === 'boolean') return String(value)
  // An integer as JSON writes it too; beyond 64 bits it is only a number with an exponent.
  const large = Math.abs(value) >= int64Limit
  return large ? value.toExponential() : String(value + 0)
}

function quote(text: string): string {
  const escaped = wellFormed(text)
    .replaceAll('\\', '\\\\')
    .replaceAll('"', '\\"')
    .replaceAll('\n', '\\n')
    .replaceAll('\r', '\\r')
    .replaceAll('\t', '\\t')
  return `"${escaped}"`
}

function isOfType(value: Scalar, type: FieldType): boolean {
  return typeof value === type
}
