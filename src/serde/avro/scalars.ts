import type { Json } from '../../core/event.ts'
import { clockOf, clockText, dayOf, dayText, instantOf, instantText, instantUnits } from '../instants.ts'
import {
  bytesOf,
  float32Of,
  floatJson,
  floatOf,
  int64,
  integerJson,
  integerOf,
  whatBytesAre,
  whatFloat32Is,
  whatFloatIs,
  whatInt64Is,
} from '../numbers.ts'
import { badBytes } from '../schema.ts'
import type { AvroReader, AvroWriter } from './binary.ts'
import { decimalBytes, decimalText, unscaledOf } from './decimal.ts'
import type { FixedType, Logical, PrimitiveName, PrimitiveType } from './schema.ts'

/** A type without parts. `write` is given values that `problem` has no fault with. */
export interface Scalar {
  read(reader: AvroReader): Json
  /** What is wrong with a value, if something is. */
  problem(value: Json): string | undefined
  write(value: Json, writer: AvroWriter): void
  /** Writes a schema's default, which is in Avro's own JSON form: without logical types, bytes as code points. */
  writeDefault(value: Json, writer: AvroWriter): void
}

/** A scalar that is written from what `of` makes of the value; a default is in the same form. */
function scalar<T>(
  read: (reader: AvroReader) => Json,
  of: (value: Json) => T | undefined,
  what: string,
  write: (value: T, writer: AvroWriter) => void,
): Scalar {
  const writeValue = (value: Json, writer: AvroWriter) => {
    const ready = of(value)
    if (ready === undefined) throw new Error(`${JSON.stringify(value)} ${what}`)
    write(ready, writer)
  }
  return {
    read,
    problem: (value) => (of(value) === undefined ? what : undefined),
    write: writeValue,
    writeDefault: writeValue,
  }
}

/** The same bytes with another meaning: defaults stay those of the plain type. */
function meaning(plain: Scalar, logical: Scalar): Scalar {
  return { ...logical, writeDefault: (value, writer) => plain.writeDefault(value, writer) }
}

const isInt = (value: Json): value is number => typeof value === 'number' && (value | 0) === value
const asNumber = (value: bigint) => (value >= -(2n ** 53n) && value <= 2n ** 53n ? Number(value) : value)

function long(value: Json): number | bigint | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value : undefined
  const wide = integerOf(value)
  return wide === undefined || wide < int64.least || wide > int64.most ? undefined : asNumber(wide)
}

const bytesScalar: Scalar = {
  ...scalar(
    (reader) => reader.bytes().toString('base64'),
    bytesOf,
    whatBytesAre,
    (value, writer) => writer.bytes(value),
  ),
  writeDefault: (value, writer) => writer.bytes(codePoints(value)),
}

const plain: Readonly<Record<PrimitiveName, Scalar>> = {
  null: {
    read: (reader) => {
      reader.empty()
      return null
    },
    problem: (value) => (value === null ? undefined : 'must be null'),
    write: () => {},
    writeDefault: () => {},
  },
  boolean: scalar(
    (reader) => {
      const byte = reader.byte()
      if (byte > 1) throw badBytes('not of its Avro schema: a boolean is neither 0 nor 1')
      return byte === 1
    },
    (value) => (typeof value === 'boolean' ? value : undefined),
    'must be a boolean',
    (value, writer) => writer.byte(value ? 1 : 0),
  ),
  int: scalar(
    (reader) => reader.int(),
    (value) => (isInt(value) ? value : undefined),
    'must be an integer of 32 bits',
    (value, writer) => writer.long(value),
  ),
  long: scalar(
    (reader) => reader.longJson(),
    long,
    whatInt64Is,
    (value, writer) => writer.long(value),
  ),
  float: scalar(
    (reader) => floatJson(reader.float()),
    float32Of,
    whatFloat32Is,
    (value, writer) => writer.float(value),
  ),
  double: scalar(
    (reader) => floatJson(reader.double()),
    floatOf,
    whatFloatIs,
    (value, writer) => writer.double(value),
  ),
  bytes: bytesScalar,
  string: scalar(
    (reader) => reader.string(),
    (value) => (typeof value === 'string' ? value : undefined),
    'must be a text',
    (value, writer) => writer.string(value),
  ),
}

export function primitive({ kind, logical }: PrimitiveType): Scalar {
  return logical === undefined ? plain[kind] : meaning(plain[kind], primitiveMeaning(kind, logical))
}

function primitiveMeaning(kind: PrimitiveName, logical: Logical): Scalar {
  switch (logical.kind) {
    case 'instant':
      return instant(logical.digits, logical.local)
    case 'time':
      return scalar(
        (reader) => {
          const units = Number(reader.long())
          return clockText(units, logical.digits) ?? units
        },
        (value) => clockOf(value, logical.digits),
        'must be a time of day such as "12:30:00.000"',
        (value, writer) => writer.long(value),
      )
    case 'date':
      return scalar(
        (reader) => {
          const days = reader.int()
          return dayText(days) ?? days
        },
        dayOf,
        'must be a date such as "2026-01-31"',
        (value, writer) => writer.long(value),
      )
    case 'decimal':
      return scalar(
        (reader) => decimalText(reader.bytes(), logical.scale),
        (value) => unscaledOf(value, logical),
        whatDecimalIs(logical),
        (value, writer) => writer.bytes(decimalBytes(value)),
      )
    default:
      return plain[kind]
  }
}

function whatDecimalIs({ precision, scale }: { readonly precision: number; readonly scale: number }): string {
  return `must be a decimal number of at most ${precision} digits, ${scale} of them after the point, such as "12.5"`
}

function instant(digits: 3 | 6 | 9, local: boolean): Scalar {
  return scalar(
    (reader) => {
      const units = reader.long()
      const text = instantText(units, digits)
      if (text === undefined) return typeof units === 'number' ? units : integerJson(units)
      return local ? text.slice(0, -1) : text
    },
    (value) => {
      const given = instantOf(value)
      if (given === undefined) return undefined
      const units = instantUnits(given, digits)
      return units < int64.least || units > int64.most ? undefined : asNumber(units)
    },
    'must be a time such as "2026-01-31T12:00:00.000Z", or milliseconds since 1970',
    (value, writer) => writer.long(value),
  )
}

export function fixed({ size, logical }: FixedType): Scalar {
  const plainFixed: Scalar = {
    ...scalar(
      (reader) => {
        if (size === 0) reader.empty()
        return reader.slice(size).toString('base64')
      },
      (value) => {
        const bytes = bytesOf(value)
        return bytes?.length === size ? bytes : undefined
      },
      `must be ${size} bytes in base64`,
      (value, writer) => writer.raw(value),
    ),
    writeDefault: (value, writer) => writer.raw(codePoints(value)),
  }
  if (logical?.kind === 'uuid') return meaning(plainFixed, uuid)
  if (logical?.kind !== 'decimal') return plainFixed
  const decimal = scalar(
    (reader) => decimalText(reader.slice(size), logical.scale),
    (value) => {
      const unscaled = unscaledOf(value, logical)
      const bits = BigInt(8 * size)
      return unscaled === undefined || BigInt.asIntN(Number(bits), unscaled) !== unscaled ? undefined : unscaled
    },
    whatDecimalIs(logical),
    (value, writer) => writer.raw(decimalBytes(value, size)),
  )
  return meaning(plainFixed, decimal)
}

const uuid = scalar(
  (reader) =>
    reader
      .slice(16)
      .toString('hex')
      .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'),
  (value) => {
    const isUuid = typeof value === 'string' && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value)
    return isUuid ? Buffer.from(value.replaceAll('-', ''), 'hex') : undefined
  },
  'must be a UUID',
  (value, writer) => writer.raw(value),
)

function codePoints(value: Json): Buffer {
  if (typeof value !== 'string') throw new Error('a default of bytes is a text')
  return Buffer.from(value, 'latin1')
}
