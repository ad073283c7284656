import type { Schema } from 'apache-arrow'
import type { Rejection } from '../../src/core/errors.ts'
import type { FieldValue } from '../../src/core/filter.ts'
import type { VectorPoint } from '../../src/core/vector-store.ts'

export type ColumnType = 'string' | 'number' | 'boolean'

/** Columns of the store itself. Field columns never start with `_` or have a prefix of their own. */
export const own = {
  id: '_id',
  vector: '_vector',
  timestamp: '_timestamp',
  topic: '_topic',
  partition: '_partition',
  offset: '_offset',
} as const

const encodedPrefix = '_field_'
const plainName = /^[A-Za-z][A-Za-z0-9_]*$/

/** The column of a field. Names that LanceDB could not hold (dots, blanks, reserved ones) are written in hexadecimal. */
export function columnName(field: string): string {
  return plainName.test(field) ? field : encodedPrefix + Buffer.from(field).toString('hex')
}

function fieldName(column: string): string | undefined {
  if (column.startsWith(encodedPrefix)) return Buffer.from(column.slice(encodedPrefix.length), 'hex').toString()
  return column.startsWith('_') ? undefined : column
}

/**
 * The fields of one table. A field has no column until its first value that is not null says what type it is;
 * `undefined` stands for that.
 */
export class Columns {
  readonly #types = new Map<string, ColumnType | undefined>()

  constructor(fields: Iterable<string>) {
    this.declare(fields)
  }

  /** Reads the columns that a table has. */
  static of(schema: Schema, declared: Iterable<string>): Columns {
    const columns = new Columns(declared)
    columns.refresh(schema, [])
    return columns
  }

  /** Takes over what the table has by now. */
  refresh(schema: Schema, declared: Iterable<string>): void {
    this.declare(declared)
    for (const { name, type } of schema.fields) {
      const field = fieldName(name)
      if (field !== undefined) this.#types.set(field, columnType(String(type)))
    }
  }

  get names(): string[] {
    return [...this.#types.keys()]
  }

  type(field: string): ColumnType | undefined {
    return this.#types.get(field)
  }

  /** Fields that have a column, with its type. */
  typed(): [field: string, type: ColumnType][] {
    return [...this.#types].flatMap(([field, type]) => (type === undefined ? [] : [[field, type]]))
  }

  /** Adds the fields that are new, without a type. */
  declare(fields: Iterable<string>): void {
    for (const field of fields) if (!this.#types.has(field)) this.#types.set(field, undefined)
  }

  settle(types: ReadonlyMap<string, ColumnType>): void {
    for (const [field, type] of types) this.#types.set(field, type)
  }

  /**
   * Why a point's fields cannot be stored, or undefined. `settled` are types that values before it in the same write
   * gave to fields; the point's own are added to it when it can be stored.
   */
  check(fields: VectorPoint['fields'], settled: Map<string, ColumnType>): Omit<Rejection, 'index'> | undefined {
    const fresh = new Map<string, ColumnType>()
    for (const [field, value] of Object.entries(fields)) {
      if (!this.#types.has(field)) {
        return { code: 'unknown_field', message: `The collection has no field "${field}".` }
      }
      const type = valueType(value)
      if (type === undefined) continue
      if (typeof value === 'number' && !Number.isFinite(value)) {
        return { code: 'bad_field', message: `The field "${field}" is ${value}, which cannot be stored.` }
      }
      const expected = this.#types.get(field) ?? settled.get(field)
      if (expected === undefined) fresh.set(field, type)
      else if (expected !== type) {
        const message = `The field "${field}" holds ${expected}s in this collection, and this value is a ${type}.`
        return { code: 'field_type', message }
      }
    }
    for (const [field, type] of fresh) settled.set(field, type)
    return undefined
  }
}

function valueType(value: FieldValue): ColumnType | undefined {
  if (typeof value === 'string') return 'string'
  if (typeof value === 'number') return 'number'
  return typeof value === 'boolean' ? 'boolean' : undefined
}

function columnType(arrowType: string): ColumnType {
  if (arrowType === 'Int8') return 'boolean'
  return arrowType.includes('Utf8') ? 'string' : 'number'
}
