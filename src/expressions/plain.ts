import { Optional } from '@marcbachmann/cel-js'
import type { Json } from '../core/event.ts'

/**
 * What CEL computed as plain JSON. Values that are plain already come back as they are, uncopied. Whole numbers
 * (BigInt) become numbers, timestamps ISO 8601 text, durations milliseconds, bytes base64 text, an absent optional
 * null. Throws `RangeError` for a number that JSON cannot hold.
 */
export function plain(value: unknown): Json {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'number':
      if (Number.isFinite(value)) return value
      throw new RangeError(`the result is ${value}, which is not a number that JSON can hold`)
    case 'bigint':
      return fromBigInt(value)
    case 'undefined':
      return null
    case 'object':
      if (value === null) return null
      return Array.isArray(value) ? fromList(value) : fromObject(value)
    default:
      throw new RangeError(`the result is a ${typeof value}, which JSON cannot hold`)
  }
}

function fromBigInt(value: bigint): number {
  const number = Number(value)
  if (Number.isSafeInteger(number)) return number
  throw new RangeError(`the result ${value} is too large for a JSON number; use string(…)`)
}

function fromList(list: readonly unknown[]): Json {
  let copy: Json[] | undefined
  for (let index = 0; index < list.length; index++) {
    const before = list[index]
    const after = plain(before)
    if (copy === undefined && after !== before) copy = list.slice(0, index).map(plain)
    if (copy !== undefined) copy.push(after)
  }
  return copy ?? (list as readonly Json[])
}

function fromObject(value: object): Json {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Object.prototype || prototype === null) return fromRecord(value)
  if (value instanceof Date) return value.toISOString()
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  if (value instanceof Optional) return value.hasValue() ? plain(value.value()) : null
  if (value instanceof Map) return fromRecord(Object.fromEntries(value))
  if (value instanceof Set) return fromList([...value])
  const inner: unknown = value.valueOf()
  if (typeof inner === 'number' || typeof inner === 'bigint') return plain(inner)
  return String(value)
}

function fromRecord(record: object): Json {
  let changed: Record<string, Json> | undefined
  for (const [name, before] of Object.entries(record)) {
    const after = plain(before)
    if (after === before) continue
    changed ??= { ...record }
    changed[name] = after
  }
  return changed ?? (record as Json)
}
