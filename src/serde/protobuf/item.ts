import { isUtf8 } from 'node:buffer'
import type { Reader, Writer } from 'protobufjs'
import type { Json } from '../../core/event.ts'
import {
  bytesOf,
  float32Of,
  floatJson,
  floatOf,
  int64,
  integerJson,
  integerOf,
  uint64,
  whatBytesAre,
  whatFloat32Is,
  whatFloatIs,
  whatInt64Is,
} from '../numbers.ts'
import { badBytes, type Place, type Report } from '../schema.ts'

/** Protobuf's wire types. */
export const wire = { varint: 0, fixed64: 1, delimited: 2, startGroup: 3, endGroup: 4, fixed32: 5 } as const

/** One value on the wire, without its tag. `write` is given values that `check` reports nothing of. */
export interface Item {
  readonly wire: number
  /** `before` is what an earlier occurrence of the same field gave: messages are merged. */
  read(reader: Reader, depth: number, before?: Json): Json
  check(value: Json, place: Place | undefined, report: Report): void
  write(value: Json, writer: Writer): void
  /** What is meant when nothing is written; messages have none. */
  readonly zero: Json | undefined
  isZero(value: Json): boolean
  /** `null` is a value of its own, not the absence of one. */
  readonly takesNull?: boolean
}

interface Kind<T> {
  readonly wire: number
  readonly zero: Json
  readonly what: string
  read(reader: Reader): Json
  of(value: Json): T | undefined
  write(value: T, writer: Writer): void
  isZero(value: T): boolean
}

function item<T>({ wire: type, zero, what, read, of, write, isZero }: Kind<T>): Item {
  return {
    wire: type,
    zero,
    read,
    check(value, place, report) {
      if (of(value) === undefined) report(place, what)
    },
    write(value, writer) {
      const ready = of(value)
      if (ready === undefined) throw new Error(`${JSON.stringify(value)} ${what}`)
      write(ready, writer)
    },
    isZero(value) {
      const ready = of(value)
      return ready !== undefined && isZero(ready)
    },
  }
}

type Int32 = 'int32' | 'sint32' | 'sfixed32' | 'uint32' | 'fixed32'
type Int64 = 'int64' | 'sint64' | 'sfixed64' | 'uint64' | 'fixed64'

function integer32(type: Int32): Item {
  const unsigned = type === 'uint32' || type === 'fixed32'
  const [least, most] = unsigned ? [0, 4_294_967_295] : [-2_147_483_648, 2_147_483_647]
  return item<number>({
    wire: type.endsWith('fixed32') ? wire.fixed32 : wire.varint,
    zero: 0,
    what: unsigned ? 'must be an integer of 32 bits, not negative' : 'must be an integer of 32 bits',
    read: (reader) => reader[type](),
    of: (value) => {
      const number = Number(integerOf(value) ?? Number.NaN)
      return number >= least && number <= most ? number : undefined
    },
    write: (value, writer) => writer[type](value),
    isZero: (value) => value === 0,
  })
}

function integer64(type: Int64): Item {
  const unsigned = type === 'uint64' || type === 'fixed64'
  const { least, most } = unsigned ? uint64 : int64
  return item<bigint>({
    wire: type.endsWith('fixed64') ? wire.fixed64 : wire.varint,
    zero: 0,
    what: unsigned ? whatInt64Is.replace('64 bits', '64 bits, not negative') : whatInt64Is,
    read: (reader) => {
      const { high, low, unsigned: positive } = reader[type]()
      const number = (positive ? high >>> 0 : high | 0) * 4_294_967_296 + (low >>> 0)
      if (Number.isSafeInteger(number)) return number
      const wide = (BigInt(high) << 32n) | BigInt(low >>> 0)
      return integerJson(positive ? BigInt.asUintN(64, wide) : BigInt.asIntN(64, wide))
    },
    of: (value) => {
      const wide = integerOf(value)
      return wide === undefined || wide < least || wide > most ? undefined : wide
    },
    write: (value, writer) => {
      const number = Number(value)
      writer[type](Number.isSafeInteger(number) ? number : value.toString())
    },
    isZero: (value) => value === 0n,
  })
}

function float(type: 'float' | 'double'): Item {
  const short = type === 'float'
  return item<number>({
    wire: short ? wire.fixed32 : wire.fixed64,
    zero: 0,
    what: short ? whatFloat32Is : whatFloatIs,
    read: (reader) => floatJson(reader[type]()),
    of: short ? float32Of : floatOf,
    write: (value, writer) => writer[type](value),
    isZero: (value) => Object.is(value, 0),
  })
}

const bool = item<boolean>({
  wire: wire.varint,
  zero: false,
  what: 'must be a boolean',
  read: (reader) => reader.bool(),
  of: (value) => (typeof value === 'boolean' ? value : undefined),
  write: (value, writer) => writer.bool(value),
  isZero: (value) => !value,
})

const string = item<string>({
  wire: wire.delimited,
  zero: '',
  what: 'must be a text',
  read: readText,
  of: (value) => (typeof value === 'string' ? value : undefined),
  write: (value, writer) => writer.string(value),
  isZero: (value) => value === '',
})

function readText(reader: Reader): string {
  const start = reader.pos
  const text = reader.string()
  // Only broken bytes make this character, unless it was there to begin with.
  if (text.includes('\ufffd')) {
    reader.pos = start
    if (!isUtf8(reader.bytes())) throw badBytes('not of its Protobuf schema: a string is not UTF-8')
  }
  return text
}

const bytes = item<Buffer>({
  wire: wire.delimited,
  zero: '',
  what: whatBytesAre,
  read: (reader) => Buffer.from(reader.bytes()).toString('base64'),
  of: bytesOf,
  write: (value, writer) => writer.bytes(value),
  isZero: (value) => value.length === 0,
})

/** Items by the names of Protobuf's scalar types. */
export const scalars: ReadonlyMap<string, Item> = new Map([
  ...(['int32', 'sint32', 'sfixed32', 'uint32', 'fixed32'] as const).map((type) => [type, integer32(type)] as const),
  ...(['int64', 'sint64', 'sfixed64', 'uint64', 'fixed64'] as const).map((type) => [type, integer64(type)] as const),
  ['float', float('float')],
  ['double', float('double')],
  ['bool', bool],
  ['string', string],
  ['bytes', bytes],
])

/** By name; a number that has none stays a number, both ways. */
export function enumeration(values: Readonly<Record<string, number>>): Item {
  const names = new Map<number, string>()
  for (const [name, number] of Object.entries(values)) if (!names.has(number)) names.set(number, name)
  const [first = 0] = Object.values(values)
  return item<number>({
    wire: wire.varint,
    zero: names.get(first) ?? first,
    what: `must be one of ${JSON.stringify(Object.keys(values))}`,
    read: (reader) => {
      const number = reader.int32()
      return names.get(number) ?? number
    },
    of: (value) => {
      if (typeof value === 'string') return Object.hasOwn(values, value) ? values[value] : undefined
      return typeof value === 'number' && (value | 0) === value ? value : undefined
    },
    write: (value, writer) => writer.int32(value),
    isZero: (value) => value === first,
  })
}

/** Reads a length-delimited part: `field` for each tag in it. */
export function readParts(reader: Reader, end: number, field: (id: number, wireType: number) => void): void {
  if (end > reader.len) throw badBytes('not of its Protobuf schema: it ends too early')
  while (reader.pos < end) {
    const tag = reader.uint32()
    if (tag >>> 3 === 0) throw badBytes('not of its Protobuf schema: a field has the number 0')
    field(tag >>> 3, tag & 7)
  }
  if (reader.pos !== end) throw badBytes('not of its Protobuf schema: a message ends in the midst of a field')
}

export function endOf(reader: Reader): number {
  const length = reader.uint32()
  return reader.pos + length
}

export function tag(writer: Writer, id: number, wireType: number): void {
  writer.uint32(((id << 3) | wireType) >>> 0)
}
