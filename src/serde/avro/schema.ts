import { isJsonObject, type Json, type JsonObject } from '../../core/event.ts'

/** Avro's types, named ones resolved to the same object wherever they are named. Avro 1.11, "Schema Declaration". */
export type AvroType = PrimitiveType | RecordType | EnumType | ArrayType | MapType | UnionType | FixedType

export type PrimitiveName = 'null' | 'boolean' | 'int' | 'long' | 'float' | 'double' | 'bytes' | 'string'
export interface PrimitiveType {
  readonly kind: PrimitiveName
  readonly logical?: Logical | undefined
}
export interface RecordType {
  readonly kind: 'record'
  readonly name: string
  readonly fields: AvroField[]
}
export interface AvroField {
  readonly name: string
  readonly type: AvroType
  /** In the form of defaults: bytes as a text of code points, a union's of its first branch. `undefined`: none. */
  readonly default: Json | undefined
}
export interface EnumType {
  readonly kind: 'enum'
  readonly name: string
  readonly symbols: readonly string[]
}
export interface ArrayType {
  readonly kind: 'array'
  readonly items: AvroType
}
export interface MapType {
  readonly kind: 'map'
  readonly values: AvroType
}
export interface UnionType {
  readonly kind: 'union'
  readonly branches: readonly AvroType[]
}
export interface FixedType {
  readonly kind: 'fixed'
  readonly name: string
  readonly size: number
  readonly logical?: Logical | undefined
}

/** What a number or bytes stand for. An unknown one, or one that does not fit its type, counts as none (Avro's rule). */
export type Logical =
  | { readonly kind: 'decimal'; readonly precision: number; readonly scale: number }
  | { readonly kind: 'instant'; readonly digits: 3 | 6 | 9; readonly local: boolean }
  | { readonly kind: 'time'; readonly digits: 3 | 6 }
  | { readonly kind: 'date' }
  | { readonly kind: 'uuid' }

const primitives: ReadonlySet<string> = new Set([
  'null',
  'boolean',
  'int',
  'long',
  'float',
  'double',
  'bytes',
  'string',
])

/** Deeper schemas could overflow the stack. */
const maxDepth = 200

/**
 * The type that a schema declares. `names` holds the named types that are known from other schemas, by full name; those of
 * this schema are added. Throws an `Error` that says what is wrong.
 */
export function parseAvro(schema: Json, names: Map<string, AvroType>): AvroType {
  return new Parser(names, undefined).type(schema, '', 0)
}

/** The full names that a schema uses and does not declare itself. Throws as `parseAvro`. */
export function undeclaredNames(schema: Json): string[] {
  const missing = new Set<string>()
  new Parser(new Map(), missing).type(schema, '', 0)
  return [...missing]
}

class Parser {
  readonly #names: Map<string, AvroType>
  readonly #missing: Set<string> | undefined

  constructor(names: Map<string, AvroType>, missing: Set<string> | undefined) {
    this.#names = names
    this.#missing = missing
  }

  type(schema: Json | undefined, namespace: string, depth: number): AvroType {
    if (depth > maxDepth) throw new Error(`it is nested more than ${maxDepth} levels deep`)
    if (typeof schema === 'string') return this.#named(schema, namespace)
    if (Array.isArray(schema)) return this.#union(schema, namespace, depth)
    if (!isJsonObject(schema)) throw new Error(`${JSON.stringify(schema) ?? 'nothing'} is no Avro type`)
    switch (schema.type) {
      case 'record':
      case 'error':
        return this.#record(schema, namespace, depth)
      case 'enum':
        return this.#enum(schema, namespace)
      case 'fixed':
        return this.#fixed(schema, namespace)
      case 'array':
        return { kind: 'array', items: this.type(schema.items, namespace, depth + 1) }
      case 'map':
        return { kind: 'map', values: this.type(schema.values, namespace, depth + 1) }
      default: {
        const inner = this.type(schema.type, namespace, depth + 1)
        if (!isPrimitive(inner)) return inner
        return { kind: inner.kind, logical: logicalOf(schema, inner.kind) }
      }
    }
  }

  #named(name: string, namespace: string): AvroType {
    if (isPrimitiveName(name)) return { kind: name }
    const candidates = name.includes('.') || namespace === '' ? [name] : [`${namespace}.${name}`, name]
    for (const candidate of candidates) {
      const known = this.#names.get(candidate)
      if (known) return known
    }
    if (this.#missing === undefined) throw new Error(`there is no type "${candidates[0]}"`)
    this.#missing.add(candidates[0] ?? name)
    return { kind: 'null' }
  }

  #union(schemas: readonly Json[], namespace: string, depth: number): UnionType {
    if (schemas.length === 0) throw new Error('a union has no branches')
    return { kind: 'union', branches: schemas.map((branch) => this.type(branch, namespace, depth + 1)) }
  }

  #record(schema: JsonObject, outer: string, depth: number): RecordType {
    const { name, namespace } = fullName(schema, outer)
    const fields: AvroField[] = []
    const record: RecordType = { kind: 'record', name, fields }
    this.#declare(name, schema, namespace, record)
    if (!Array.isArray(schema.fields)) throw new Error(`the record "${name}" has no fields`)
    for (const field of schema.fields) {
      if (!isJsonObject(field) || typeof field.name !== 'string') throw new Error(`a field of "${name}" has no name`)
      if (fields.some((other) => other.name === field.name)) {
        throw new Error(`the record "${name}" has the field "${field.name}" twice`)
      }
      fields.push({ name: field.name, type: this.#fieldType(field, name, namespace, depth), default: field.default })
    }
    return record
  }

  #fieldType(field: JsonObject, record: string, namespace: string, depth: number): AvroType {
    const type = this.type(field.type, namespace, depth + 1)
    // `{name, type: "long", logicalType}` has its logical type a level too high, and other readers ignore it as well.
    if (field.type === undefined) throw new Error(`the field "${String(field.name)}" of "${record}" has no type`)
    return type
  }

  #enum(schema: JsonObject, outer: string): EnumType {
    const { name, namespace } = fullName(schema, outer)
    const { symbols } = schema
    if (!isTexts(symbols) || symbols.length === 0) throw new Error(`the enum "${name}" has no symbols`)
    const type: EnumType = { kind: 'enum', name, symbols }
    this.#declare(name, schema, namespace, type)
    return type
  }

  #fixed(schema: JsonObject, outer: string): FixedType {
    const { name, namespace } = fullName(schema, outer)
    const { size } = schema
    if (typeof size !== 'number' || !Number.isInteger(size) || size < 0) {
      throw new Error(`the size of the fixed type "${name}" is no number of bytes`)
    }
    const type: FixedType = { kind: 'fixed', name, size, logical: logicalOf(schema, 'fixed', size) }
    this.#declare(name, schema, namespace, type)
    return type
  }

  #declare(name: string, schema: JsonObject, namespace: string, type: AvroType): void {
    if (this.#names.has(name)) throw new Error(`the name "${name}" is declared twice`)
    this.#names.set(name, type)
    this.#missing?.delete(name)
    if (!isTexts(schema.aliases)) return
    for (const alias of schema.aliases) {
      const full = alias.includes('.') || namespace === '' ? alias : `${namespace}.${alias}`
      if (!this.#names.has(full)) this.#names.set(full, type)
    }
  }
}

function fullName(schema: JsonObject, outer: string): { name: string; namespace: string } {
  if (typeof schema.name !== 'string' || schema.name === '') throw new Error(`a type (${schema.type}) has no name`)
  const dot = schema.name.lastIndexOf('.')
  if (dot >= 0) return { name: schema.name, namespace: schema.name.slice(0, dot) }
  const namespace = typeof schema.namespace === 'string' ? schema.namespace : outer
  return { name: namespace === '' ? schema.name : `${namespace}.${schema.name}`, namespace }
}

function logicalOf(schema: JsonObject, kind: PrimitiveName | 'fixed', size = 0): Logical | undefined {
  const { logicalType } = schema
  const instant = /^(local-)?timestamp-(milli|micro|nano)s$/.exec(String(logicalType))
  if (instant && kind === 'long') {
    const digits = instant[2] === 'milli' ? 3 : instant[2] === 'micro' ? 6 : 9
    return { kind: 'instant', digits, local: instant[1] !== undefined }
  }
  if (logicalType === 'date' && kind === 'int') return { kind: 'date' }
  if (logicalType === 'time-millis' && kind === 'int') return { kind: 'time', digits: 3 }
  if (logicalType === 'time-micros' && kind === 'long') return { kind: 'time', digits: 6 }
  if (logicalType === 'uuid' && kind === 'fixed' && size === 16) return { kind: 'uuid' }
  if (logicalType === 'decimal' && (kind === 'bytes' || kind === 'fixed')) return decimalOf(schema)
  return undefined
}

function decimalOf({ precision, scale = 0 }: JsonObject): Logical | undefined {
  const isCount = (value: unknown): value is number => typeof value === 'number' && Number.isInteger(value)
  if (!isCount(precision) || !isCount(scale) || precision < 1 || scale < 0 || scale > precision) return undefined
  return { kind: 'decimal', precision, scale }
}

function isPrimitiveName(name: string): name is PrimitiveName {
  return primitives.has(name)
}

function isPrimitive(type: AvroType): type is PrimitiveType {
  return primitives.has(type.kind)
}

function isTexts(value: Json | undefined): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}
