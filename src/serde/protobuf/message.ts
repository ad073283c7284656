import protobuf from 'protobufjs'
import { isJsonObject, type Json } from '../../core/event.ts'
import { didYouMean } from '../../core/nearest.ts'
import { badBytes, type Place, put, type Report } from '../schema.ts'
import { endOf, enumeration, type Item, readParts, scalars, tag, wire } from './item.ts'
import { maxDepth, wellKnown } from './well-known.ts'

/** A message as closures over the wire. Fields bear the names that the file gives them. */
export interface Message {
  readonly fieldNames: readonly string[]
  read(reader: protobuf.Reader, end: number, depth: number, into?: Record<string, Json>): Json
  check(value: Json, place: Place | undefined, report: Report): void
  write(value: Json, writer: protobuf.Writer): void
}

interface Field {
  readonly name: string
  /** The name in Protobuf's JSON mapping, which is understood as well. */
  readonly jsonName: string
  readonly id: number
  /** The other fields of its oneof, which it puts out. */
  readonly rivals: readonly string[]
  readonly oneof: string | undefined
  readonly required: boolean
  /** Present in every value that is read, if only with its default. */
  readonly initial: (() => Json) | undefined
  readonly takesNull: boolean
  read(reader: protobuf.Reader, wireType: number, depth: number, before: Json | undefined): Json | undefined
  check(value: Json, place: Place | undefined, report: Report): void
  write(value: Json, writer: protobuf.Writer): void
}

/** Compiles messages; a recursive one refers to itself. */
export class MessageCompiler {
  readonly #messages = new Map<protobuf.Type, Message>()
  /** How many messages within each other are being checked. */
  #checking = 0

  compile(type: protobuf.Type): Message {
    const known = this.#messages.get(type)
    if (known) return known
    const fields: Field[] = []
    const byId = new Map<number, Field>()
    const byName = new Map<string, Field>()
    const message: Message = {
      fieldNames: type.fieldsArray.map(({ name }) => name),
      read: (reader, end, depth, into) => readMessage(fields, byId, reader, end, depth, into),
      check: (value, place, report) => {
        // What is deeper could not be read again.
        if (this.#checking > maxDepth) return report(place, `is nested more than ${maxDepth} levels deep`)
        this.#checking += 1
        try {
          checkMessage(fields, byName, value, place, report)
        } finally {
          this.#checking -= 1
        }
      },
      write(value, writer) {
        if (!isJsonObject(value)) return
        for (const field of fields) {
          const member = memberOf(value, field)
          if (member !== undefined && (member !== null || field.takesNull)) field.write(member, writer)
        }
      },
    }
    this.#messages.set(type, message)
    // Writers put fields in the order of their numbers.
    for (const declared of type.fieldsArray.toSorted((one, other) => one.id - other.id)) {
      const field = this.#field(declared)
      fields.push(field)
      byId.set(field.id, field)
      byName.set(field.jsonName, field)
    }
    for (const field of fields) byName.set(field.name, field)
    return message
  }

  #field(field: protobuf.Field): Field {
    if (field.delimited) throw new Error(`the field "${field.fullName}" is a group, which is not supported`)
    const item = this.#item(field)
    const { name, id } = field
    const oneof = field.partOf?.isProto3Optional === true ? undefined : field.partOf
    const jsonName: unknown = field.options?.json_name
    const common = {
      name,
      id,
      jsonName: typeof jsonName === 'string' ? jsonName : camelCase(name),
      oneof: oneof?.name,
      rivals: oneof?.oneof.filter((other) => other !== name) ?? [],
      required: field.required,
    }
    if (field instanceof protobuf.MapField) return { ...common, ...mapField(field, item) }
    return { ...common, ...(field.repeated ? repeatedField(field, item) : singleField(field, item)) }
  }

  #item(field: protobuf.Field): Item {
    const { resolvedType, type } = field
    if (resolvedType instanceof protobuf.Enum) return enumeration(resolvedType.values)
    if (resolvedType instanceof protobuf.Type) return wellKnown(resolvedType.fullName) ?? this.#part(resolvedType)
    const scalar = scalars.get(type)
    if (scalar === undefined) throw new Error(`there is no type "${type}"`)
    return scalar
  }

  #part(type: protobuf.Type): Item {
    const message = this.compile(type)
    return {
      wire: wire.delimited,
      zero: undefined,
      isZero: () => false,
      read: (reader, depth, before) =>
        message.read(reader, endOf(reader), depth + 1, isJsonObject(before) ? { ...before } : undefined),
      check: (value, place, report) => message.check(value, place, report),
      write(value, writer) {
        writer.fork()
        message.write(value, writer)
        writer.ldelim()
      },
    }
  }
}

function readMessage(
  fields: readonly Field[],
  byId: ReadonlyMap<number, Field>,
  reader: protobuf.Reader,
  end: number,
  depth: number,
  into: Record<string, Json> | undefined,
): Json {
  if (depth > maxDepth) throw badBytes(`nested more than ${maxDepth} levels deep`)
  const value = into ?? {}
  if (into === undefined) for (const { name, initial } of fields) if (initial) put(value, name, initial())
  readParts(reader, end, (id, wireType) => {
    const field = byId.get(id)
    const read = field?.read(reader, wireType, depth, Object.hasOwn(value, field.name) ? value[field.name] : undefined)
    // A field that the schema does not have, or has with another type, is passed over.
    if (field === undefined || read === undefined) {
      reader.skipType(wireType)
      return
    }
    for (const rival of field.rivals) delete value[rival]
    put(value, field.name, read)
  })
  return value
}

function checkMessage(
  fields: readonly Field[],
  byName: ReadonlyMap<string, Field>,
  value: Json,
  place: Place | undefined,
  report: Report,
): void {
  if (!isJsonObject(value)) {
    report(place, 'must be an object')
    return
  }
  const taken = new Map<string, string>()
  const given = new Set<Field>()
  for (const [name, member] of Object.entries(value)) {
    const at = { within: place, name }
    const field = byName.get(name)
    if (field === undefined) {
      report(at, `is not a known field${didYouMean(name, [...byName.keys()])}`)
      continue
    }
    if (member === null && !field.takesNull) continue
    if (given.has(field)) report(at, `is given twice: it is ${field.name}`)
    given.add(field)
    const other = field.oneof === undefined ? undefined : taken.get(field.oneof)
    if (other !== undefined) report(at, `cannot be set beside ${other}: they are of one oneof`)
    if (field.oneof !== undefined) taken.set(field.oneof, name)
    field.check(member, at, report)
  }
  for (const field of fields) {
    if (field.required && memberOf(value, field) === undefined) {
      report({ within: place, name: field.name }, 'is missing')
    }
  }
}

function memberOf(value: { readonly [name: string]: Json }, { name, jsonName }: Field): Json | undefined {
  if (Object.hasOwn(value, name)) return value[name]
  return Object.hasOwn(value, jsonName) ? value[jsonName] : undefined
}

type Shape = Pick<Field, 'initial' | 'takesNull' | 'read' | 'check' | 'write'>

function singleField({ id, hasPresence }: protobuf.Field, item: Item): Shape {
  const { zero } = item
  return {
    takesNull: item.takesNull === true,
    initial: hasPresence || zero === undefined ? undefined : () => zero,
    read: (reader, wireType, depth, before) => (wireType === item.wire ? item.read(reader, depth, before) : undefined),
    check: (value, place, report) => item.check(value, place, report),
    write(value, writer) {
      if (!hasPresence && item.isZero(value)) return
      tag(writer, id, item.wire)
      item.write(value, writer)
    },
  }
}

function repeatedField({ id, packed }: protobuf.Field, item: Item): Shape {
  const packable = item.wire !== wire.delimited
  return {
    takesNull: false,
    initial: () => [],
    // Both ways to write numbers must be read, whichever the schema says.
    read(reader, wireType, depth, before) {
      const list: Json[] = Array.isArray(before) ? before : []
      if (packable && wireType === wire.delimited) {
        const end = endOf(reader)
        if (end > reader.len) throw badBytes('not of its Protobuf schema: it ends too early')
        while (reader.pos < end) list.push(item.read(reader, depth))
        return list
      }
      if (wireType !== item.wire) return undefined
      list.push(item.read(reader, depth))
      return list
    },
    check(value, place, report) {
      if (!Array.isArray(value)) report(place, 'must be an array')
      else for (const [index, entry] of value.entries()) item.check(entry, { within: place, name: index }, report)
    },
    write(value, writer) {
      const list = Array.isArray(value) ? value : []
      if (list.length === 0) return
      if (packed && packable) {
        tag(writer, id, wire.delimited)
        writer.fork()
        for (const entry of list) item.write(entry, writer)
        writer.ldelim()
        return
      }
      for (const entry of list) {
        tag(writer, id, item.wire)
        item.write(entry, writer)
      }
    },
  }
}

function mapField({ id, keyType }: protobuf.MapField, item: Item): Shape {
  const key = scalars.get(keyType)
  if (key === undefined) throw new Error(`"${keyType}" cannot be the key of a map`)
  const keyOf = (name: string): Json => (keyType === 'bool' ? (name === 'true' ? true : name) : name)
  const keyValue = (name: string): Json => (name === 'false' && keyType === 'bool' ? false : keyOf(name))
  return {
    takesNull: false,
    initial: () => ({}),
    read(reader, wireType, depth, before) {
      if (wireType !== wire.delimited) return undefined
      let name: Json = key.zero ?? ''
      let value: Json | undefined
      readParts(reader, endOf(reader), (part, partType) => {
        if (part === 1 && partType === key.wire) name = key.read(reader, depth)
        else if (part === 2 && partType === item.wire) value = item.read(reader, depth, value)
        else reader.skipType(partType)
      })
      const map: Record<string, Json> = isJsonObject(before) ? before : {}
      // An entry without a value has that of an empty message.
      put(map, String(name), value ?? item.zero ?? item.read(protobuf.Reader.create(Uint8Array.of(0)), depth))
      return map
    },
    check(value, place, report) {
      if (!isJsonObject(value)) {
        report(place, 'must be an object')
        return
      }
      for (const [name, member] of Object.entries(value)) {
        const at = { within: place, name }
        key.check(keyValue(name), at, (where, message) => report(where, `has a name that ${message}`))
        item.check(member, at, report)
      }
    },
    write(value, writer) {
      for (const [name, member] of isJsonObject(value) ? Object.entries(value) : []) {
        tag(writer, id, wire.delimited)
        writer.fork()
        tag(writer, 1, key.wire)
        key.write(keyValue(name), writer)
        tag(writer, 2, item.wire)
        item.write(member, writer)
        writer.ldelim()
      }
    },
  }
}

/** As protoc makes JSON names. */
function camelCase(name: string): string {
  return name.replace(/_+([a-zA-Z0-9]?)/g, (_match, letter: string) => letter.toUpperCase())
}
