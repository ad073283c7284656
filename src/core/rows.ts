import type { RowFilter, RowValue } from './principal.ts'

/**
 * Whether a value is among what a filter lets through: an object of which one alternative holds. A field's name is a path
 * (`customer.id`); values of different types are never equal.
 */
export function matchesRows(rows: RowFilter | undefined, value: unknown): boolean {
  if (rows === undefined) return true
  return rows.some((alternative) => Object.entries(alternative).every(([path, wanted]) => isAt(value, path, wanted)))
}

function isAt(value: unknown, path: string, wanted: RowValue): boolean {
  let at = value
  for (const step of path.split('.')) {
    if (typeof at !== 'object' || at === null || Array.isArray(at) || !Object.hasOwn(at, step)) return false
    at = Reflect.get(at, step)
  }
  return at === wanted
}
