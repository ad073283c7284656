import type { Json } from '../core/event.ts'

/** Numbers in plain JSON: what is exact is a number; what is not, a text. */

export const int64 = { least: -(2n ** 63n), most: 2n ** 63n - 1n } as const
export const uint64 = { least: 0n, most: 2n ** 64n - 1n } as const

/** An integer of 64 bits: a number up to 2^53, a text of digits beyond. */
export function integerJson(value: bigint): number | string {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value.toString()
}

/** Reads what `integerJson` made; also digits for small ones. `undefined` for anything else. */
export function integerOf(value: Json | undefined): bigint | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : undefined
  if (typeof value !== 'string' || !/^-?\d{1,20}$/.test(value)) return undefined
  return BigInt(value)
}

/** JSON has no other way to say them. The names are those of Protobuf's JSON mapping. */
const unusual: Readonly<Record<string, number>> = {
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  '-Infinity': Number.NEGATIVE_INFINITY,
}

export function floatJson(value: number): number | string {
  return Number.isFinite(value) ? value : String(value)
}

export function floatOf(value: Json | undefined): number | undefined {
  if (typeof value === 'number') return value
  return typeof value === 'string' && Object.hasOwn(unusual, value) ? unusual[value] : undefined
}

/** The same for 32 bits, where a number that is too large would become infinite. */
export function float32Of(value: Json | undefined): number | undefined {
  const number = floatOf(value)
  const overflows = number !== undefined && Number.isFinite(number) && !Number.isFinite(Math.fround(number))
  return overflows ? undefined : number
}

const base64 = /^[A-Za-z0-9+/_-]*={0,2}$/

/** The bytes of a text in base64, with or without padding, in either alphabet. */
export function bytesOf(value: Json | undefined): Buffer | undefined {
  if (typeof value !== 'string' || !base64.test(value)) return undefined
  const digits = value.replace(/=+$/, '').length
  return digits % 4 === 1 ? undefined : Buffer.from(value, 'base64')
}

export const whatBytesAre = 'must be a text in base64'
export const whatInt64Is = 'must be an integer of 64 bits; beyond 2^53 as a text of digits, as a number would lose some'
export const whatFloatIs = 'must be a number (or "NaN", "Infinity", "-Infinity")'
export const whatFloat32Is = 'must be a number in the range of 32 bits (or "NaN", "Infinity", "-Infinity")'
