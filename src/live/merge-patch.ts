import { isJsonObject, type Json, type JsonObject } from '../core/event.ts'

/** Deeper changes are not looked for. */
const maxDepth = 64

/**
 * The JSON merge patch (RFC 7396) that makes one object of another. Undefined if there is none: it cannot set a field to
 * null, and a field named `__proto__` is left alone. Arrays are taken whole.
 */
export function mergePatch(from: JsonObject, to: JsonObject, depth = 0): JsonObject | undefined {
  if (depth > maxDepth || Object.hasOwn(from, '__proto__') || Object.hasOwn(to, '__proto__')) return undefined
  const patch: Record<string, Json> = {}
  for (const name of Object.keys(from)) if (!Object.hasOwn(to, name)) patch[name] = null
  for (const [name, value] of Object.entries(to)) {
    const before = Object.hasOwn(from, name) ? from[name] : undefined
    if (isJsonObject(before) && isJsonObject(value)) {
      const inner = mergePatch(before, value, depth + 1)
      if (inner === undefined) return undefined
      if (Object.keys(inner).length > 0) patch[name] = inner
    } else if (before === undefined || !equal(before, value, depth)) {
      if (!canBeSet(value, depth)) return undefined
      patch[name] = value
    }
  }
  return patch
}

/** Whether a patch can set a field to this value: a null in it would remove a field instead. */
function canBeSet(value: Json, depth: number): boolean {
  if (!isJsonObject(value)) return value !== null
  if (depth > maxDepth || Object.hasOwn(value, '__proto__')) return false
  return Object.values(value).every((inner) => canBeSet(inner, depth + 1))
}

function equal(one: Json, other: Json, depth: number): boolean {
  if (one === other) return true
  if (depth > maxDepth) return false
  if (Array.isArray(one)) {
    if (!Array.isArray(other) || one.length !== other.length) return false
    return one.every((item, index) => equal(item, other[index], depth + 1))
  }
  if (!isJsonObject(one) || !isJsonObject(other)) return false
  const names = Object.keys(one)
  if (names.length !== Object.keys(other).length) return false
  return names.every((name) => {
    const value = Object.hasOwn(other, name) ? other[name] : undefined
    return value !== undefined && equal(one[name] ?? null, value, depth + 1)
  })
}
