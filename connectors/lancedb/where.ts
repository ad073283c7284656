import { type Condition, matchesCondition, type Scalar } from '../../src/core/filter.ts'
import { type FieldType, type FieldTypes, fieldKey } from '../../src/core/vector-rules.ts'

/**
 * A condition as SQL for LanceDB. Texts are quoted and column names consist of letters, digits and underscores alone,
 * so nothing in a filter is ever read as SQL. Never yields NULL where a `NOT` could turn it around: there is none.
 */
export function toSql(condition: Condition, columns: FieldTypes): string {
  if ('conditions' in condition) {
    const parts = condition.conditions.map((inner) => toSql(inner, columns))
    return join(parts, condition.operator === 'and' ? 'AND' : 'OR')
  }
  const type = columns.type(condition.field)
  // Without a column every value is null.
  if (type === undefined) return constant(matchesCondition(condition, {}))
  const column = `\`${fieldKey(condition.field)}\``
  switch (condition.operator) {
    case 'exists':
      return condition.value ? `${column} IS NOT NULL` : `${column} IS NULL`
    case 'eq':
      return isOfType(condition.value, type) ? `${column} = ${literal(condition.value)}` : constant(false)
    case 'ne':
      return isOfType(condition.value, type)
        ? `(${column} IS NULL OR ${column} <> ${literal(condition.value)})`
        : constant(true)
    case 'in': {
      const values = condition.values.filter((value) => isOfType(value, type))
      return values.length === 0 ? constant(false) : `${column} IN (${values.map(literal).join(', ')})`
    }
    case 'nin': {
      const values = condition.values.filter((value) => isOfType(value, type))
      if (values.length === 0) return constant(true)
      return `(${column} IS NULL OR ${column} NOT IN (${values.map(literal).join(', ')}))`
    }
    default:
      return isOfType(condition.value, type)
        ? `${column} ${orderOperators[condition.operator]} ${literal(condition.value)}`
        : constant(false)
  }
}

const orderOperators = { gt: '>', gte: '>=', lt: '<', lte: '<=' } as const

/** The predicate for a set of ids. */
export function idsSql(column: string, ids: readonly string[]): string {
  return `\`${column}\` IN (${ids.map(literal).join(', ')})`
}

/** A word as it may be stored: its accents as part of a character, or behind it. */
export function formsOf(word: string): string[] {
  return [...new Set([word, word.normalize('NFD')])]
}

/** Whether a column of texts has a word. What has not even its letters is told by `containsSql`, which is much the faster. */
export function wordSql(column: string, word: string): string {
  const text = `lower(\`${column}\`)`
  const patterns = formsOf(word).map((form) => {
    return `(^|[^${inWords}])${form.replaceAll(otherThanWords, '\\$&')}($|[^${inWords}])`
  })
  return `(${containsSql(column, word)} AND ${join(
    patterns.map((pattern) => `regexp_like(${text}, ${literal(pattern)})`),
    'OR',
  )})`
}

/** Whether a column of texts has the letters of a word, also as part of a longer one. */
export function containsSql(column: string, word: string): string {
  return join(
    formsOf(word).map((form) => `contains(lower(\`${column}\`), ${literal(form)})`),
    'OR',
  )
}

/** What `wordsOf` takes for part of a word, in the syntax of regular expressions here and there. */
const inWords = String.raw`\p{L}\p{M}\p{N}`
const otherThanWords = new RegExp(`[^${inWords}]`, 'gu')

/** Empty conjunctions hold, empty disjunctions do not. */
export function join(parts: readonly string[], operator: 'AND' | 'OR'): string {
  if (parts.length === 0) return constant(operator === 'AND')
  const [only] = parts
  return parts.length === 1 && only !== undefined ? only : `(${parts.join(` ${operator} `)})`
}

function literal(value: Scalar): string {
  if (typeof value === 'string') return `'${value.replaceAll("'", "''")}'`
  if (typeof value === 'boolean') return value ? '1' : '0'
  // With an exponent it is a floating-point literal whatever its size; adding 0 makes -0 plain.
  return (value + 0).toExponential()
}

function isOfType(value: Scalar, type: FieldType): boolean {
  return typeof value === type
}

function constant(value: boolean): string {
  return value ? 'true' : 'false'
}
