import { type Condition, matchesCondition, type Scalar } from '../../src/core/filter.ts'
import { type FieldType, type FieldTypes, fieldKey, storedValue } from '../../src/core/vector-rules.ts'

/** A filter of Pinecone, or what it comes to when that does not depend on the record. */
export interface Native {
  readonly filter: object | boolean
  /** Whether it lets through just what the condition does. If not, it lets through more, never less. */
  readonly exact: boolean
}

const never: Native = { filter: false, exact: true }
const always: Native = { filter: true, exact: true }

/**
 * A condition in Pinecone's language. A field has one type in a collection, so a comparison with a value of another type
 * is decided here. Whether `$ne` holds for a missing field is left open by Pinecone, and spelt out. Pinecone orders
 * numbers alone: of an order of texts only that there is a text is asked.
 */
export function toNative(condition: Condition, fields: FieldTypes): Native {
  if ('conditions' in condition) {
    const parts = condition.conditions.map((inner) => toNative(inner, fields))
    return join(parts, condition.operator)
  }
  const type = fields.type(condition.field)
  // Without a type every value is null.
  if (type === undefined) return matchesCondition(condition, {}) ? always : never
  const key = fieldKey(condition.field)
  switch (condition.operator) {
    case 'exists':
      return exact({ [key]: { $exists: condition.value } })
    case 'eq':
      return isOfType(condition.value, type) ? exact({ [key]: { $eq: storedValue(condition.value) } }) : never
    case 'in':
      return among(key, condition.values, type)
    case 'ne':
      return notAmong(key, [condition.value], type)
    case 'nin':
      return notAmong(key, condition.values, type)
    default:
      if (!isOfType(condition.value, type)) return never
      return type === 'number'
        ? exact({ [key]: { [`$${condition.operator}`]: condition.value } })
        : { filter: { [key]: { $exists: true } }, exact: false }
  }
}

/** `$in` takes no booleans. */
function among(key: string, all: readonly Scalar[], type: FieldType): Native {
  const values = all.filter((value) => isOfType(value, type)).map(storedValue)
  if (values.length === 0) return never
  if (type !== 'boolean') return exact({ [key]: { $in: values } })
  return join(
    values.map((value) => exact({ [key]: { $eq: value } })),
    'or',
  )
}

function notAmong(key: string, all: readonly Scalar[], type: FieldType): Native {
  const values = all.filter((value) => isOfType(value, type)).map(storedValue)
  if (values.length === 0) return always
  const differs =
    type === 'boolean' || values.length === 1
      ? values.map((value) => exact({ [key]: { $ne: value } }))
      : [exact({ [key]: { $nin: values } })]
  return join([exact({ [key]: { $exists: false } }), join(differs, 'and')], 'or')
}

/** Empty conjunctions hold, empty disjunctions do not. */
function join(parts: readonly Native[], operator: 'and' | 'or'): Native {
  const neutral = operator === 'and'
  if (parts.some(({ filter }) => filter === !neutral)) return neutral ? never : always
  const open = parts.filter(({ filter }) => typeof filter !== 'boolean')
  const [only] = open
  if (only === undefined) return neutral ? always : never
  if (open.length === 1) return only
  return { filter: { [`$${operator}`]: open.map(({ filter }) => filter) }, exact: open.every((part) => part.exact) }
}

function exact(filter: object): Native {
  return { filter, exact: true }
}

function isOfType(value: Scalar, type: FieldType): boolean {
  return typeof value === type
}
