import type { Json } from '../../core/event.ts'
import { badBytes } from '../schema.ts'

/** Avro's decimals: an unscaled integer in two's complement, big-endian. As JSON they are texts, since digits matter. */

/** More digits than any decimal has: writing them out would take endless time. */
const mostBytes = 4096

/** Throws `InvalidInput` (`bad_bytes`) for thousands of digits. */
export function decimalText(bytes: Uint8Array, scale: number): string {
  if (bytes.length > mostBytes) throw badBytes(`not of its Avro schema: a decimal of ${bytes.length} bytes`)
  const hex = Buffer.from(bytes).toString('hex')
  const unscaled = hex === '' ? 0n : BigInt.asIntN(8 * bytes.length, BigInt(`0x${hex}`))
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0')
  const whole = digits.slice(0, digits.length - scale)
  const sign = unscaled < 0n ? '-' : ''
  return scale === 0 ? `${sign}${whole}` : `${sign}${whole}.${digits.slice(-scale)}`
}

/** Of a text or a number; `undefined` if it is none, or has more digits than the type holds. */
export function unscaledOf(
  value: Json,
  { precision, scale }: { readonly precision: number; readonly scale: number },
): bigint | undefined {
  const text = typeof value === 'number' ? plainDigits(value) : value
  const match = typeof text === 'string' ? /^(-?)(\d{1,1000})(?:\.(\d{1,1000}))?$/.exec(text) : null
  if (match === null) return undefined
  const [, sign, whole = '', fraction = ''] = match
  const kept = fraction.replace(/0+$/, '')
  if (kept.length > scale) return undefined
  const digits = (whole + kept.padEnd(scale, '0')).replace(/^0+(?=\d)/, '')
  return digits.length > precision ? undefined : BigInt(`${sign}${digits}`)
}

/** A number without exponent: JavaScript writes very large and very small ones with one. */
function plainDigits(value: number): string {
  const match = /^(-?)(\d)(?:\.(\d+))?e([+-]\d+)$/.exec(String(value))
  if (match === null) return String(value)
  const [, sign = '', first = '', rest = '', exponent = '0'] = match
  const shift = Number(exponent)
  const digits = first + rest
  return shift < 0 ? `${sign}0.${'0'.repeat(-shift - 1)}${digits}` : `${sign}${digits.padEnd(shift + 1, '0')}`
}

/** The fewest bytes that hold it, or as many as are asked for. */
export function decimalBytes(unscaled: bigint, size?: number): Uint8Array {
  let length = size ?? 1
  while (size === undefined && BigInt.asIntN(8 * length, unscaled) !== unscaled) length += 1
  const hex = BigInt.asUintN(8 * length, unscaled).toString(16)
  return Buffer.from(hex.padStart(2 * length, '0'), 'hex')
}
