import type { Condition, Scalar } from '../../src/core/filter.ts'
import { storedValue, wellFormed } from '../../src/core/vector-rules.ts'
import { fieldPath, wordsPath } from './payload.ts'

/** A condition in Qdrant's own form, as far as it is used here. */
export type QdrantCondition =
  | { key: string; match: { value: string | boolean } | { any: string[] } }
  | { key: string; range: { gt?: number; gte?: number; lt?: number; lte?: number } }
  | { is_empty: { key: string } }
  | { has_id: string[] }
  | QdrantFilter

export interface QdrantFilter {
  must?: QdrantCondition[]
  should?: QdrantCondition[]
  must_not?: QdrantCondition[]
}

const never: QdrantCondition = { has_id: [] }

/**
 * The same condition for Qdrant, whose matches and ranges are typed as ours are. It has no order of texts: such a
 * comparison holds for every field that is there, and `isExact` is false for a condition that has one. What comes back
 * then has to be looked at again; nothing that fits is missing, for no condition is ever negated.
 */
export function toQdrant(condition: Condition): QdrantFilter {
  const translated = translate(condition)
  return 'must' in translated || 'should' in translated || 'must_not' in translated
    ? translated
    : { must: [translated] }
}

export function isExact(condition: Condition): boolean {
  if ('conditions' in condition) return condition.conditions.every(isExact)
  return !(isOrder(condition.operator) && 'value' in condition && typeof condition.value === 'string')
}

function translate(condition: Condition): QdrantCondition {
  if ('conditions' in condition) {
    const { operator, conditions } = condition
    const all = conditions.map(translate)
    if (operator === 'and') return { must: all }
    return all.length === 0 ? never : { should: all }
  }
  const key = fieldPath(condition.field)
  switch (condition.operator) {
    case 'exists':
      return condition.value ? present(key) : { is_empty: { key } }
    case 'eq':
      return equals(key, condition.value)
    case 'ne':
      return { must_not: [equals(key, condition.value)] }
    case 'in':
      return oneOf(key, condition.values)
    case 'nin':
      return { must_not: [oneOf(key, condition.values)] }
    default: {
      const { operator, value } = condition
      return typeof value === 'string' ? present(key) : { key, range: { [operator]: value + 0 } }
    }
  }
}

/** That a point has all of some words. */
export function havingWords(words: readonly string[]): QdrantCondition {
  return { must: words.map((word) => ({ key: wordsPath, match: { value: word } })) }
}

function isOrder(operator: string): boolean {
  return ['gt', 'gte', 'lt', 'lte'].includes(operator)
}

function present(key: string): QdrantCondition {
  return { must_not: [{ is_empty: { key } }] }
}

/** Qdrant matches whole numbers alone; a range of one number is equality for all of them. */
function equals(key: string, value: Scalar): QdrantCondition {
  if (typeof value === 'number') return { key, range: { gte: value + 0, lte: value + 0 } }
  return { key, match: { value: storedValue(value) } }
}

function oneOf(key: string, values: readonly Scalar[]): QdrantCondition {
  const texts = values.filter((value) => typeof value === 'string')
  const others = values.filter((value) => typeof value !== 'string').map((value) => equals(key, value))
  const all = texts.length === 0 ? others : [{ key, match: { any: texts.map(wellFormed) } }, ...others]
  return all.length === 0 ? never : { should: all }
}
