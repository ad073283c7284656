import type { Reader, Writer } from 'protobufjs'
import { isJsonObject, type Json } from '../../core/event.ts'
import { instantOf } from '../instants.ts'
import { badBytes, type Place, put, type Report } from '../schema.ts'
import { endOf, type Item, readParts, scalars, tag, wire } from './item.ts'

/** Google's well-known types, in the form that Protobuf's JSON mapping gives them. */

/** Deeper ones could overflow the stack; Protobuf's own default. */
export const maxDepth = 100

/** Seconds and nanoseconds: what Timestamp and Duration are. */
interface Moment {
  readonly seconds: number
  readonly nanos: number
}

function moment(text: (moment: Moment) => Json, of: (value: Json) => Moment | undefined, what: string): Item {
  return {
    wire: wire.delimited,
    zero: undefined,
    isZero: () => false,
    read(reader) {
      let seconds = 0
      let nanos = 0
      readParts(reader, endOf(reader), (id, wireType) => {
        if (id === 1 && wireType === wire.varint) seconds = Number(scalars.get('int64')?.read(reader, 0))
        else if (id === 2 && wireType === wire.varint) nanos = reader.int32()
        else reader.skipType(wireType)
      })
      return text({ seconds, nanos })
    },
    check(value, place, report) {
      if (of(value) === undefined) report(place, what)
    },
    write(value, writer) {
      const { seconds, nanos } = of(value) ?? { seconds: 0, nanos: 0 }
      writer.fork()
      if (seconds !== 0) writer.uint32(8).int64(seconds)
      if (nanos !== 0) writer.uint32(16).int32(nanos)
      writer.ldelim()
    },
  }
}

/** Without a fraction, or with 3, 6 or 9 digits. */
function fractionOf(nanos: number): string {
  if (nanos === 0) return ''
  const digits = String(nanos).padStart(9, '0')
  return `.${digits.replace(/(000){1,2}$/, '')}`
}

const firstSecond = Date.parse('0001-01-01T00:00:00Z') / 1000
const lastSecond = Date.parse('9999-12-31T23:59:59Z') / 1000

const timestamp = moment(
  ({ seconds, nanos }) => {
    if (seconds < firstSecond || seconds > lastSecond || nanos < 0 || nanos > 999_999_999) return { seconds, nanos }
    return `${new Date(seconds * 1000).toISOString().slice(0, 19)}${fractionOf(nanos)}Z`
  },
  (value) => {
    const instant = instantOf(value)
    return instant && instant.seconds >= firstSecond && instant.seconds <= lastSecond ? instant : undefined
  },
  'must be a time such as "2026-01-31T12:00:00Z", or milliseconds since 1970',
)

const duration = moment(
  ({ seconds, nanos }) => {
    const sign = seconds < 0 || nanos < 0 ? '-' : ''
    return `${sign}${Math.abs(seconds)}${fractionOf(Math.abs(nanos))}s`
  },
  (value) => {
    const match = typeof value === 'string' ? /^(-?)(\d{1,12})(?:\.(\d{1,9}))?s$/.exec(value) : null
    if (match === null) return undefined
    const sign = match[1] === '-' ? -1 : 1
    const nanos = Number((match[3] ?? '').padEnd(9, '0'))
    return { seconds: sign * Number(match[2]) || 0, nanos: sign * nanos || 0 }
  },
  'must be seconds such as "1.5s"',
)

/** A scalar in a message of its own, so that it can be absent. */
function wrapper(type: string): Item | undefined {
  const inner = scalars.get(type)
  if (inner === undefined) return undefined
  return {
    wire: wire.delimited,
    zero: undefined,
    isZero: () => false,
    read(reader, depth) {
      let value = inner.zero ?? null
      readParts(reader, endOf(reader), (id, wireType) => {
        if (id === 1 && wireType === inner.wire) value = inner.read(reader, depth)
        else reader.skipType(wireType)
      })
      return value
    },
    check: (value, place, report) => inner.check(value, place, report),
    write(value, writer) {
      writer.fork()
      if (!inner.isZero(value)) {
        tag(writer, 1, inner.wire)
        inner.write(value, writer)
      }
      writer.ldelim()
    },
  }
}

/** google.protobuf.Value, Struct and ListValue: any JSON there is. */
function readValue(reader: Reader, end: number, depth: number): Json {
  let value: Json = null
  readParts(reader, end, (id, wireType) => {
    if (id === 1 && wireType === wire.varint) {
      reader.int32()
      value = null
    } else if (id === 2 && wireType === wire.fixed64) value = reader.double()
    else if (id === 3 && wireType === wire.delimited) value = scalars.get('string')?.read(reader, depth) ?? ''
    else if (id === 4 && wireType === wire.varint) value = reader.bool()
    else if (id === 5 && wireType === wire.delimited) value = readStruct(reader, endOf(reader), depth + 1)
    else if (id === 6 && wireType === wire.delimited) value = readList(reader, endOf(reader), depth + 1)
    else reader.skipType(wireType)
  })
  return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value
}

function readStruct(reader: Reader, end: number, depth: number): Json {
  if (depth > maxDepth) throw badBytes(`nested more than ${maxDepth} levels deep`)
  const struct: Record<string, Json> = {}
  readParts(reader, end, (id, wireType) => {
    if (id !== 1 || wireType !== wire.delimited) {
      reader.skipType(wireType)
      return
    }
    let name = ''
    let value: Json = null
    readParts(reader, endOf(reader), (part, partType) => {
      if (part === 1 && partType === wire.delimited) name = String(scalars.get('string')?.read(reader, depth))
      else if (part === 2 && partType === wire.delimited) value = readValue(reader, endOf(reader), depth)
      else reader.skipType(partType)
    })
    put(struct, name, value)
  })
  return struct
}

function readList(reader: Reader, end: number, depth: number): Json {
  if (depth > maxDepth) throw badBytes(`nested more than ${maxDepth} levels deep`)
  const list: Json[] = []
  readParts(reader, end, (id, wireType) => {
    if (id === 1 && wireType === wire.delimited) list.push(readValue(reader, endOf(reader), depth))
    else reader.skipType(wireType)
  })
  return list
}

function writeValue(value: Json, writer: Writer): void {
  if (value === null) writer.uint32(8).int32(0)
  else if (typeof value === 'number') writer.uint32(17).double(value)
  else if (typeof value === 'string') writer.uint32(26).string(value)
  else if (typeof value === 'boolean') writer.uint32(32).bool(value)
  else if (isJsonObject(value)) part(42, writer, () => writeStruct(value, writer))
  else part(50, writer, () => writeList(value, writer))
}

function writeStruct(value: Json, writer: Writer): void {
  for (const [name, member] of Object.entries(value ?? {})) {
    part(10, writer, () => {
      writer.uint32(10).string(name)
      part(18, writer, () => writeValue(member, writer))
    })
  }
}

function writeList(value: Json, writer: Writer): void {
  for (const member of Array.isArray(value) ? value : []) part(10, writer, () => writeValue(member, writer))
}

function part(key: number, writer: Writer, write: () => void): void {
  writer.uint32(key).fork()
  write()
  writer.ldelim()
}

function dynamic(
  what: string | undefined,
  is: (value: Json) => boolean,
  read: (reader: Reader, end: number, depth: number) => Json,
  write: (value: Json, writer: Writer) => void,
): Item {
  return {
    wire: wire.delimited,
    zero: undefined,
    isZero: () => false,
    takesNull: what === undefined,
    read: (reader, depth) => read(reader, endOf(reader), depth + 1),
    check(value, place, report) {
      if (what !== undefined && !is(value)) report(place, what)
      else checkDepth(value, place, report, 0)
    },
    write(value, writer) {
      writer.fork()
      write(value, writer)
      writer.ldelim()
    },
  }
}

/** What is deeper could not be read again. */
function checkDepth(value: Json, place: Place | undefined, report: Report, depth: number): void {
  if (typeof value !== 'object' || value === null) return
  if (depth > maxDepth / 2) {
    report(place, `is nested more than ${maxDepth / 2} levels deep`)
    return
  }
  for (const [name, member] of Object.entries(value))
    checkDepth(member, { within: place, name: name }, report, depth + 1)
}

const wrapped: Readonly<Record<string, string>> = {
  DoubleValue: 'double',
  FloatValue: 'float',
  Int64Value: 'int64',
  UInt64Value: 'uint64',
  Int32Value: 'int32',
  UInt32Value: 'uint32',
  BoolValue: 'bool',
  StringValue: 'string',
  BytesValue: 'bytes',
}

/** By full name, such as `.google.protobuf.Timestamp`. `undefined` for a message like any other. */
export function wellKnown(fullName: string): Item | undefined {
  const prefix = '.google.protobuf.'
  if (!fullName.startsWith(prefix)) return undefined
  const name = fullName.slice(prefix.length)
  switch (name) {
    case 'Timestamp':
      return timestamp
    case 'Duration':
      return duration
    case 'Struct':
      return dynamic('must be an object', isJsonObject, readStruct, writeStruct)
    case 'ListValue':
      return dynamic('must be an array', Array.isArray, readList, writeList)
    case 'Value':
      return dynamic(undefined, () => true, readValue, writeValue)
    default:
      return wrapper(wrapped[name] ?? '')
  }
}
