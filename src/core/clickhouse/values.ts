import { isJsonObject, type Json } from '../event.ts'
import { dateReading, instantReading, preciseInstantReading } from './instants.ts'
import { Misfit, shown } from './misfit.ts'
import { parseType, type TypeNode } from './types.ts'

/** Turns an event's value into what ClickHouse reads as a column of one type. Throws `Misfit`. */
export type Fitting = (value: Json) => Json

/**
 * The fitting of a ClickHouse type. `null` stays null: NULL in a Nullable column, the column's default elsewhere.
 *
 * ClickHouse itself wraps integers that are too large round to negative ones, so ranges are checked here. Times are milliseconds
 * since the Unix epoch or ISO 8601 (without a zone: UTC). Objects and arrays become JSON text in a String column. Types that are not known
 * here are left to ClickHouse.
 */
export function fittingOf(text: string): Fitting {
  const type = parseType(text)
  const fitting = plainFitting(type)
  const absent = absentValue(type)
  return (value) => (value === null ? absent : fitting(value))
}

/** An enum's default is its least value, but in place of a null ClickHouse would store 0, which may be none of its values. */
function absentValue(type: TypeNode): Json {
  if (!type.name.startsWith('Enum')) return null
  const numbers = type.args.map((arg) => Number(arg.match(/=\s*(-?\d+)$/)?.[1] ?? 0))
  return enumNames(type)[numbers.indexOf(Math.min(...numbers))] ?? null
}

function plainFitting(type: TypeNode): Fitting {
  const [first, second] = type.args
  switch (type.name) {
    case 'Nullable':
    case 'LowCardinality':
      return first === undefined ? unchanged : plainFitting(parseType(first))
    case 'String':
      return asText
    case 'FixedString':
      return fixedText(Number(first))
    case 'Bool':
      return asBoolean
    case 'Float32':
    case 'Float64':
      return asFloat
    case 'Date':
    case 'Date32':
      return dateReading(type.name)
    case 'DateTime':
      return instantReading
    case 'DateTime64':
      return preciseInstantReading(Number(first ?? 3))
    case 'UUID':
      return asUuid
    case 'Enum8':
    case 'Enum16':
    case 'Enum':
      return enumFitting(type)
    case 'Array':
      return first === undefined ? unchanged : arrayFitting(first)
    case 'Map':
      return second === undefined ? unchanged : mapFitting(second)
  }
  if (type.name.startsWith('Decimal')) return asDecimal
  const integer = type.name.match(/^(U?)Int(8|16|32|64|128|256)$/)
  return integer === null ? unchanged : integerFitting(type.name, integer[1] === 'U', Number(integer[2]))
}

const unchanged: Fitting = (value) => value

/** A lone half of a surrogate pair is no text that could be stored, and is replaced as UTF-8 encoders do. */
const wellFormed = (text: string) => (surrogate.test(text) ? text.replace(/\p{Surrogate}/gu, '\ufffd') : text)
/** Either half of a pair. Looking for one costs little in a text of Latin letters, which is what most are. */
const surrogate = /[\ud800-\udfff]/

function asText(value: Json): string {
  if (typeof value === 'string') return wellFormed(value)
  return typeof value === 'object' ? wellFormed(JSON.stringify(value)) : String(value)
}

function fixedText(bytes: number): Fitting {
  return (value) => {
    const text = asText(value)
    if (Buffer.byteLength(text) > bytes) throw new Misfit(`${shown(value)} is longer than ${bytes} bytes`)
    return text
  }
}

function asBoolean(value: Json): boolean {
  if (value === true || value === 1 || value === 'true' || value === '1') return true
  if (value === false || value === 0 || value === 'false' || value === '0') return false
  throw new Misfit(`${shown(value)} is neither true nor false`)
}

function asFloat(value: Json): Json {
  if (typeof value === 'number') return value
  if (typeof value === 'boolean') return value ? 1 : 0
  if (typeof value === 'string' && /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(value)) return Number(value)
  throw new Misfit(`${shown(value)} is no number`)
}

function asDecimal(value: Json): string {
  const text = typeof value === 'number' ? String(value) : value
  if (typeof text === 'string' && /^[+-]?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text)) return text
  throw new Misfit(`${shown(value)} is no decimal number`)
}

function integerFitting(name: string, unsigned: boolean, bits: number): Fitting {
  const least = unsigned ? 0n : -(2n ** BigInt(bits - 1))
  const most = 2n ** BigInt(unsigned ? bits : bits - 1) - 1n
  // Numbers in this range need no BigInt to be judged or written.
  const low = Math.max(Number(least), Number.MIN_SAFE_INTEGER)
  const high = Math.min(Number(most), Number.MAX_SAFE_INTEGER)
  return (value) => {
    if (typeof value === 'number' && value >= low && value <= high && Number.isInteger(value)) return value
    if (typeof value === 'boolean') return value ? 1 : 0
    const integer = asBigInt(value)
    if (integer === undefined) throw new Misfit(`${shown(value)} is no integer`)
    if (integer < least || integer > most) throw new Misfit(`${shown(value)} is out of the range of ${name}`)
    return integer.toString()
  }
}

function asBigInt(value: Json): bigint | undefined {
  if (typeof value === 'number' && Number.isInteger(value)) return BigInt(value)
  if (typeof value === 'string' && /^[+-]?\d{1,80}$/.test(value)) return BigInt(value.replace('+', ''))
  return undefined
}

function asUuid(value: Json): string {
  if (typeof value === 'string' && /^[\da-f]{8}-?([\da-f]{4}-?){3}[\da-f]{12}$/i.test(value)) return value
  throw new Misfit(`${shown(value)} is no UUID`)
}

function enumFitting(type: TypeNode): Fitting {
  const names = enumNames(type)
  const known = new Set(names)
  const numbers = new Set(type.args.map((arg) => arg.match(/=\s*(-?\d+)$/)?.[1]))
  return (value) => {
    if (typeof value === 'string' && known.has(value)) return value
    if (typeof value === 'number' && numbers.has(String(value))) return value
    throw new Misfit(`${shown(value)} is none of ${names.join(', ')}`)
  }
}

function enumNames(type: TypeNode): (string | undefined)[] {
  return type.args.map((arg) => arg.match(/^'((?:[^'\\]|\\.|'')*)'/)?.[1]?.replace(/\\(.)|'(')/g, '$1$2'))
}

function arrayFitting(item: string): Fitting {
  const fitting = fittingOf(item)
  return (value) => {
    if (!Array.isArray(value)) throw new Misfit(`${shown(value)} is no list`)
    return value.map(fitting)
  }
}

function mapFitting(item: string): Fitting {
  const fitting = fittingOf(item)
  return (value) => {
    if (!isJsonObject(value)) throw new Misfit(`${shown(value)} is no object`)
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, fitting(inner)]))
  }
}
