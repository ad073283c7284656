import { z } from 'zod'
import { InvalidInput } from './errors.ts'
import { didYouMean } from './nearest.ts'

/** What a field of a vector may hold. */
export type FieldValue = string | number | boolean | null

/**
 * The filter language of vector searches, in the JSON form that Pinecone made known:
 * `{"category": {"$eq": "billing"}, "priority": {"$gte": 3}}`. Every store translates it to its own.
 *
 * - Several fields, and several operators on one field, must all hold. A bare value means `$eq`.
 * - A field that is missing or null fits only `$ne`, `$nin` and `{"$exists": false}`.
 * - Values of different types are never equal and never ordered. Texts are ordered by code point.
 */
export type Filter = {
  readonly $and?: readonly Filter[] | undefined
  readonly $or?: readonly Filter[] | undefined
  readonly [field: string]: Comparison | Scalar | readonly Filter[] | undefined
}
export type Scalar = string | number | boolean

export interface Comparison {
  readonly $eq?: Scalar | undefined
  readonly $ne?: Scalar | undefined
  readonly $gt?: string | number | undefined
  readonly $gte?: string | number | undefined
  readonly $lt?: string | number | undefined
  readonly $lte?: string | number | undefined
  readonly $in?: readonly Scalar[] | undefined
  readonly $nin?: readonly Scalar[] | undefined
  readonly $exists?: boolean | undefined
}

/** A filter with everything implied spelt out: what is evaluated and what stores translate. */
export type Condition =
  | { readonly operator: 'and' | 'or'; readonly conditions: readonly Condition[] }
  | { readonly operator: 'eq' | 'ne'; readonly field: string; readonly value: Scalar }
  | { readonly operator: 'gt' | 'gte' | 'lt' | 'lte'; readonly field: string; readonly value: string | number }
  | { readonly operator: 'in' | 'nin'; readonly field: string; readonly values: readonly Scalar[] }
  | { readonly operator: 'exists'; readonly field: string; readonly value: boolean }

const comparisonOperators = ['$eq', '$ne', '$gt', '$gte', '$lt', '$lte', '$in', '$nin', '$exists']
/** Deeper or longer filters are refused: translated, they would overwhelm the parsers of the stores. */
const maximumDepth = 16
const maximumComparisons = 1_000
const maximumValues = 10_000
const maximumProblems = 10

type FilterPath = readonly (string | number)[]
interface FilterProblem {
  readonly path: FilterPath
  readonly message: string
}

export const filterSchema: z.ZodType<Filter> = z
  .record(z.string(), z.unknown())
  .transform((input, context): Filter => {
    const { condition, problems } = readFilter(input)
    for (const { path, message } of problems) context.addIssue({ code: 'custom', path: [...path], message })
    return problems.length > 0 ? z.NEVER : toFilter(condition)
  })
  .meta({ description: 'A condition on the fields of a match, such as {"category": {"$eq": "billing"}}' })

/** Checks a filter and spells it out. Throws `InvalidInput` (`bad_filter`) that names every problem and its place. */
export function filterCondition(filter: unknown): Condition {
  const { condition, problems } = readFilter(filter)
  if (problems.length === 0) return condition
  const all = problems.map(({ path, message }) => `${['filter', ...path].join('.')}: ${message}`)
  throw new InvalidInput({ code: 'bad_filter', message: all.join('; ') })
}

/** The names of the fields that a condition speaks of. */
export function conditionFields(condition: Condition): Set<string> {
  if (!('conditions' in condition)) return new Set([condition.field])
  return new Set(condition.conditions.flatMap((inner) => [...conditionFields(inner)]))
}

/** Throws `InvalidInput` (`unknown_field`) when a condition speaks of a field that the collection does not have. */
export function assertKnownFields(condition: Condition, collection: string, fields: Iterable<string>): void {
  const known = new Set(fields)
  for (const name of conditionFields(condition)) {
    if (known.has(name)) continue
    const has = known.size === 0 ? 'it has no fields' : `it has ${[...known].sort().join(', ')}`
    throw new InvalidInput({
      code: 'unknown_field',
      message: `The filter names the field "${name}", which collection "${collection}" does not have${didYouMean(name, known)} (${has}).`,
    })
  }
}

/** Whether fields fit a filter: the reference that every store's own filtering is held to. */
export function matchesFilter(filter: Filter, fields: Readonly<Record<string, FieldValue>>): boolean {
  return matchesCondition(filterCondition(filter), fields)
}

export function matchesCondition(condition: Condition, fields: Readonly<Record<string, FieldValue>>): boolean {
  if ('conditions' in condition) {
    const { operator, conditions } = condition
    return operator === 'and'
      ? conditions.every((inner) => matchesCondition(inner, fields))
      : conditions.some((inner) => matchesCondition(inner, fields))
  }
  const actual = Object.hasOwn(fields, condition.field) ? (fields[condition.field] ?? null) : null
  switch (condition.operator) {
    case 'exists':
      return (actual !== null) === condition.value
    case 'eq':
      return actual === condition.value
    case 'ne':
      return actual !== condition.value
    case 'in':
      return actual !== null && condition.values.includes(actual)
    case 'nin':
      return actual === null || !condition.values.includes(actual)
    case 'gt':
      return compare(actual, condition.value) > 0
    case 'gte':
      return compare(actual, condition.value) >= 0
    case 'lt':
      return compare(actual, condition.value) < 0
    case 'lte':
      return compare(actual, condition.value) <= 0
  }
}

/** Negative, zero or positive; NaN, which is none of them, for values that have no order between them. */
function compare(left: FieldValue, right: string | number): number {
  if (typeof left === 'number' && typeof right === 'number') return left - right
  if (typeof left === 'string' && typeof right === 'string') return compareTexts(left, right)
  return Number.NaN
}

/** By code point, as bytes of UTF-8 are ordered, which JavaScript's `<` is not beyond the basic plane. */
function compareTexts(left: string, right: string): number {
  let index = 0
  while (index < left.length && index < right.length && left[index] === right[index]) index++
  return (left.codePointAt(index) ?? -1) - (right.codePointAt(index) ?? -1)
}

function readFilter(input: unknown): { condition: Condition; problems: FilterProblem[] } {
  const problems: FilterProblem[] = []
  let comparisons = 0
  let values = 0

  function report(path: FilterPath, message: string): Condition {
    if (problems.length < maximumProblems) problems.push({ path, message })
    return { operator: 'and', conditions: [] }
  }

  function readObject(object: unknown, path: FilterPath): Condition {
    if (!isRecord(object)) return report(path, `must be an object such as {"category": "billing"}, not ${kind(object)}`)
    if (path.length > maximumDepth * 2) return report(path, `is nested more than ${maximumDepth} levels deep`)
    const conditions = Object.entries(object)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => readEntry(name, value, [...path, name]))
    const only = conditions.length === 1 ? conditions[0] : undefined
    return only ?? { operator: 'and', conditions }
  }

  function readEntry(name: string, value: unknown, path: FilterPath): Condition {
    if (name === '$and' || name === '$or') {
      if (!Array.isArray(value)) return report(path, `takes an array of filters, not ${kind(value)}`)
      const conditions = value.map((inner: unknown, index) => readObject(inner, [...path, index]))
      return { operator: name === '$and' ? 'and' : 'or', conditions }
    }
    if (comparisonOperators.includes(name)) {
      return report(path, `is a comparison and stands inside a field: {"category": {"${name}": …}}`)
    }
    if (name.startsWith('$')) return report(path, unknownOperator(name, ['$and', '$or']))
    if (isScalar(value)) return readComparison(name, '$eq', value, path)
    if (!isRecord(value)) {
      return report(path, `must be a value or a comparison such as {"$eq": "billing"}, not ${kind(value)}`)
    }
    const operands = Object.entries(value).filter(([, operand]) => operand !== undefined)
    if (operands.length === 0) return report(path, `needs an operator: ${comparisonOperators.join(', ')}`)
    const conditions = operands.map(([operator, operand]) =>
      readComparison(name, operator, operand, [...path, operator]),
    )
    const only = conditions.length === 1 ? conditions[0] : undefined
    return only ?? { operator: 'and', conditions }
  }

  function readComparison(field: string, operator: string, operand: unknown, path: FilterPath): Condition {
    comparisons++
    if (comparisons > maximumComparisons)
      return report(path, `brings the filter above ${maximumComparisons} comparisons`)
    values += Array.isArray(operand) ? operand.length : 1
    if (values > maximumValues) return report(path, `brings the filter above ${maximumValues} values`)
    switch (operator) {
      case '$eq':
      case '$ne':
        if (!isScalar(operand)) return report(path, `takes a text, a number, true or false, not ${kind(operand)}`)
        return { operator: operator === '$eq' ? 'eq' : 'ne', field, value: operand }
      case '$gt':
      case '$gte':
      case '$lt':
      case '$lte':
        if (!isScalar(operand) || typeof operand === 'boolean') {
          return report(path, `takes a number or a text, not ${kind(operand)}`)
        }
        return { operator: orderOperators[operator], field, value: operand }
      case '$in':
      case '$nin':
        if (!Array.isArray(operand) || !operand.every(isScalar)) {
          return report(path, 'takes an array of texts, numbers, true or false')
        }
        return { operator: operator === '$in' ? 'in' : 'nin', field, values: operand }
      case '$exists':
        if (typeof operand !== 'boolean') return report(path, `takes true or false, not ${kind(operand)}`)
        return { operator: 'exists', field, value: operand }
      default:
        return report(path, unknownOperator(operator, comparisonOperators))
    }
  }

  return { condition: readObject(input, []), problems }
}

const orderOperators = { $gt: 'gt', $gte: 'gte', $lt: 'lt', $lte: 'lte' } as const

function toFilter(condition: Condition): Filter {
  switch (condition.operator) {
    case 'and':
      return { $and: condition.conditions.map(toFilter) }
    case 'or':
      return { $or: condition.conditions.map(toFilter) }
    case 'in':
    case 'nin':
      return Object.fromEntries([[condition.field, { [`$${condition.operator}`]: condition.values }]])
    default:
      return Object.fromEntries([[condition.field, { [`$${condition.operator}`]: condition.value }]])
  }
}

function unknownOperator(name: string, known: readonly string[]): string {
  const near = didYouMean(name, known)
  return `unknown operator "${name}"${near === '' ? `; there are ${known.join(', ')}` : near}`
}

function isScalar(value: unknown): value is Scalar {
  return typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value)
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function kind(value: unknown): string {
  if (value === null) return 'null'
  if (value === undefined) return 'nothing'
  return Array.isArray(value) ? 'an array' : `a ${typeof value}`
}
