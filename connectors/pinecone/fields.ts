import type { Rejection } from '../../src/core/errors.ts'
import type { FieldValue } from '../../src/core/filter.ts'

export type FieldType = 'string' | 'number' | 'boolean'

const encodedPrefix = '_field_'
const plainName = /^[A-Za-z][A-Za-z0-9_]*$/

/** The key of a field in the metadata, none of which begins with `_` or `$`. Other names are written in hexadecimal. */
export function fieldKey(name: string): string {
  return plainName.test(name) ? name : encodedPrefix + Buffer.from(name).toString('hex')
}

/** The field of a key, or undefined for what the store itself keeps there. */
export function fieldName(key: string): string | undefined {
  if (key.startsWith(encodedPrefix)) return Buffer.from(key.slice(encodedPrefix.length), 'hex').toString()
  return key.startsWith('_') ? undefined : key
}

/** The fields of one collection. `undefined` is the type of a field until its first value that is not null. */
export class Fields {
  readonly #types = new Map<string, FieldType | undefined>()

  get names(): string[] {
    return [...this.#types.keys()]
  }

  has(name: string): boolean {
    return this.#types.has(name)
  }

  type(name: string): FieldType | undefined {
    return this.#types.get(name)
  }

  /** Adds fields with what is known of them; a type that is known stays. */
  learn(types: Iterable<readonly [name: string, type: FieldType | undefined]>): void {
    for (const [name, type] of types) this.#types.set(name, this.#types.get(name) ?? type)
  }

  /**
   * Why a point's fields cannot be stored, or undefined. `settled` are types that values before it in the same write
   * gave to fields; the point's own are added to it when it can be stored.
   */
  check(
    fields: Readonly<Record<string, FieldValue>>,
    settled: Map<string, FieldType>,
  ): Omit<Rejection, 'index'> | undefined {
    const fresh = new Map<string, FieldType>()
    for (const [name, value] of Object.entries(fields)) {
      if (!this.#types.has(name)) {
        return { code: 'unknown_field', message: `The collection has no field "${name}".` }
      }
      const type = typeOf(value)
      if (type === undefined) continue
      if (typeof value === 'number' && !Number.isFinite(value)) {
        return { code: 'bad_field', message: `The field "${name}" is ${value}, which cannot be stored.` }
      }
      const expected = this.#types.get(name) ?? settled.get(name)
      if (expected === undefined) fresh.set(name, type)
      else if (expected !== type) {
        const message = `The field "${name}" holds ${expected}s in this collection, and this value is a ${type}.`
        return { code: 'field_type', message }
      }
    }
    for (const [name, type] of fresh) settled.set(name, type)
    return undefined
  }
}

function typeOf(value: FieldValue): FieldType | undefined {
  if (typeof value === 'string') return 'string'
  if (typeof value === 'number') return 'number'
  return typeof value === 'boolean' ? 'boolean' : undefined
}
