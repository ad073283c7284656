import { isJsonObject, type Json } from '../../core/event.ts'
import { didYouMean } from '../../core/nearest.ts'
import { badBytes, type Place, put, type Report } from '../schema.ts'
import type { AvroReader, AvroWriter } from './binary.ts'
import { fixed, primitive, type Scalar } from './scalars.ts'
import type { ArrayType, AvroField, AvroType, EnumType, MapType, RecordType, UnionType } from './schema.ts'

/** A type as closures over the bytes. `write` is given values that `check` reports nothing of. */
export interface Compiled {
  read(reader: AvroReader, depth: number): Json
  check(value: Json, place: Place | undefined, report: Report): void
  write(value: Json, writer: AvroWriter): void
  /** Writes a default in the form in which schemas have them. */
  writeDefault(value: Json, writer: AvroWriter): void
}

/** Deeper values could overflow the stack; the same bound as for JSON. */
const maxDepth = 500

/** Compiles types; a recursive one refers to itself. */
export class AvroCompiler {
  readonly #compiled = new Map<AvroType, Compiled>()

  compile(type: AvroType): Compiled {
    const known = this.#compiled.get(type)
    if (known) return known
    if (type.kind === 'record') return this.#record(type)
    const made = this.#make(type)
    this.#compiled.set(type, made)
    return made
  }

  #make(type: Exclude<AvroType, RecordType>): Compiled {
    switch (type.kind) {
      case 'enum':
        return enumeration(type)
      case 'array':
        return this.#array(type)
      case 'map':
        return this.#map(type)
      case 'union':
        return this.#union(type)
      case 'fixed':
        return ofScalar(fixed(type))
      default:
        return ofScalar(primitive(type))
    }
  }

  #record(type: RecordType): Compiled {
    const fields: (AvroField & { readonly compiled: Compiled })[] = []
    const known = new Map<string, unknown>()
    const compiled: Compiled = {
      read(reader, depth) {
        if (depth > maxDepth) throw badBytes(`nested more than ${maxDepth} levels deep`)
        if (fields.length === 0) reader.empty()
        const value: Record<string, Json> = {}
        for (const field of fields) put(value, field.name, field.compiled.read(reader, depth + 1))
        return value
      },
      check(value, place, report) {
        if (!isJsonObject(value)) {
          report(place, 'must be an object')
          return
        }
        for (const { name, compiled: inner, ...field } of fields) {
          const member = memberOf(value, name)
          if (member !== undefined) inner.check(member, { within: place, name: name }, report)
          else if (field.default === undefined && !takesNull(field.type)) {
            report({ within: place, name: name }, 'is missing')
          }
        }
        for (const name of Object.keys(value)) {
          if (known.has(name)) continue
          report({ within: place, name: name }, `is not a known field${didYouMean(name, [...known.keys()])}`)
        }
      },
      write(value, writer) {
        for (const { name, compiled: inner, ...field } of fields) {
          const member = isJsonObject(value) ? memberOf(value, name) : undefined
          if (member !== undefined) inner.write(member, writer)
          else if (field.default !== undefined) inner.writeDefault(field.default, writer)
          else inner.write(null, writer)
        }
      },
      writeDefault(value, writer) {
        for (const { name, compiled: inner, ...field } of fields) {
          const member = (isJsonObject(value) ? memberOf(value, name) : undefined) ?? field.default
          if (member === undefined) throw new Error(`a default of "${type.name}" lacks "${name}"`)
          inner.writeDefault(member, writer)
        }
      },
    }
    this.#compiled.set(type, compiled)
    for (const field of type.fields) {
      known.set(field.name, field)
      fields.push({ ...field, compiled: this.compile(field.type) })
    }
    return compiled
  }

  #array({ items }: ArrayType): Compiled {
    const item = this.compile(items)
    const writeAll = (value: Json, writer: AvroWriter, write: Compiled['write']) => {
      const list = Array.isArray(value) ? value : []
      if (list.length > 0) writer.long(list.length)
      for (const entry of list) write(entry, writer)
      writer.long(0)
    }
    return {
      read(reader, depth) {
        const value: Json[] = []
        readBlocks(reader, () => {
          value.push(item.read(reader, depth + 1))
        })
        return value
      },
      check(value, place, report) {
        if (!Array.isArray(value)) report(place, 'must be an array')
        else for (const [index, entry] of value.entries()) item.check(entry, { within: place, name: index }, report)
      },
      write: (value, writer) => writeAll(value, writer, item.write),
      writeDefault: (value, writer) => writeAll(value, writer, item.writeDefault),
    }
  }

  #map({ values }: MapType): Compiled {
    const entry = this.compile(values)
    const writeAll = (value: Json, writer: AvroWriter, write: Compiled['write']) => {
      const entries = isJsonObject(value) ? Object.entries(value) : []
      if (entries.length > 0) writer.long(entries.length)
      for (const [name, member] of entries) {
        writer.string(name)
        write(member, writer)
      }
      writer.long(0)
    }
    return {
      read(reader, depth) {
        const value: Record<string, Json> = {}
        readBlocks(reader, () => put(value, reader.string(), entry.read(reader, depth + 1)))
        return value
      },
      check(value, place, report) {
        if (!isJsonObject(value)) report(place, 'must be an object')
        else
          for (const [name, member] of Object.entries(value)) entry.check(member, { within: place, name: name }, report)
      },
      write: (value, writer) => writeAll(value, writer, entry.write),
      writeDefault: (value, writer) => writeAll(value, writer, entry.writeDefault),
    }
  }

  /** Plain, without naming the branch: a value goes to the first branch that it fits. */
  #union({ branches }: UnionType): Compiled {
    const compiled = branches.map((branch) => this.compile(branch))
    const nullAt = branches.findIndex(({ kind }) => kind === 'null')
    const others = compiled.filter((_branch, index) => index !== nullAt)
    const only = others.length === 1 ? others[0] : undefined
    const onlyAt = only === undefined ? -1 : compiled.indexOf(only)
    // Looking into a part once for each union above it would take exponential time.
    const choices = new WeakMap<object, number>()
    const chosen = (value: Json) => {
      if (value === null && nullAt >= 0) return nullAt
      if (only !== undefined) return onlyAt
      const parts = typeof value === 'object' ? value : null
      const known = parts === null ? undefined : choices.get(parts)
      if (known !== undefined) return known
      const choice = compiled.findIndex((branch) => fits(branch, value))
      if (parts !== null) choices.set(parts, choice)
      return choice
    }
    return {
      read(reader, depth) {
        const branch = compiled[reader.count()]
        if (branch === undefined) throw badBytes('not of its Avro schema: it names a branch that a union does not have')
        return branch.read(reader, depth)
      },
      check(value, place, report) {
        if (value === null && nullAt >= 0) return
        if (only !== undefined) {
          only.check(value, place, report)
          return
        }
        if (chosen(value) >= 0) return
        const nearest = nearestBranch(branches, compiled, value)
        if (nearest !== undefined) nearest.check(value, place, report)
        else report(place, `must be one of ${branches.map(nameOf).join(', ')}`)
      },
      write(value, writer) {
        const index = chosen(value)
        const branch = compiled[index]
        if (branch === undefined) throw new Error('the value fits no branch of a union')
        writer.long(index)
        branch.write(value, writer)
      },
      writeDefault(value, writer) {
        // Of the first branch, says Avro 1.11; newer writers use any.
        const index = value === null && nullAt >= 0 ? nullAt : 0
        writer.long(index)
        compiled[index]?.writeDefault(value, writer)
      },
    }
  }
}

function ofScalar({ read, problem, write, writeDefault }: Scalar): Compiled {
  return {
    read,
    check(value, place, report) {
      const message = problem(value)
      if (message !== undefined) report(place, message)
    },
    write,
    writeDefault,
  }
}

function enumeration({ symbols }: EnumType): Compiled {
  const indexes = new Map(symbols.map((symbol, index) => [symbol, index]))
  const write = (value: Json, writer: AvroWriter) => {
    const index = typeof value === 'string' ? indexes.get(value) : undefined
    if (index === undefined) throw new Error(`${JSON.stringify(value)} is no symbol`)
    writer.long(index)
  }
  return {
    read(reader) {
      const symbol = symbols[reader.count()]
      if (symbol === undefined) throw badBytes('not of its Avro schema: it names a symbol that an enum does not have')
      return symbol
    },
    check(value, place, report) {
      if (typeof value === 'string' && indexes.has(value)) return
      report(place, `must be one of ${JSON.stringify(symbols)}`)
    },
    write,
    writeDefault: write,
  }
}

/** The blocks of an array or map; a negative count is followed by the block's size in bytes. */
function readBlocks(reader: AvroReader, readItem: () => void): void {
  for (;;) {
    let count = reader.count()
    if (count === 0) return
    if (count < 0) {
      count = -count
      reader.long()
    }
    for (let index = 0; index < count; index += 1) readItem()
  }
}

function fits(compiled: Compiled, value: Json): boolean {
  let faults = 0
  compiled.check(value, undefined, () => {
    faults += 1
  })
  return faults === 0
}

/** The only branch for values of this kind, whose own problems then say more than the names of all branches. */
function nearestBranch(
  branches: readonly AvroType[],
  compiled: readonly Compiled[],
  value: Json,
): Compiled | undefined {
  const kinds = isJsonObject(value) ? ['record', 'map'] : Array.isArray(value) ? ['array'] : []
  const near = compiled.filter((_branch, index) => kinds.includes(branches[index]?.kind ?? ''))
  return near.length === 1 ? near[0] : undefined
}

function memberOf(value: { readonly [name: string]: Json }, name: string): Json | undefined {
  return Object.hasOwn(value, name) ? value[name] : undefined
}

function takesNull(type: AvroType): boolean {
  return type.kind === 'null' || (type.kind === 'union' && type.branches.some(({ kind }) => kind === 'null'))
}

function nameOf(type: AvroType): string {
  return type.kind === 'record' || type.kind === 'enum' || type.kind === 'fixed' ? type.name : type.kind
}
