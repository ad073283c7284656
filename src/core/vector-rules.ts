import { z } from 'zod'
import { Fatal, InvalidInput, type Rejection } from './errors.ts'
import type { FieldValue } from './filter.ts'
import type { CollectionSpec, VectorPoint, VectorQuery } from './vector-store.ts'

export type FieldType = 'string' | 'number' | 'boolean'
type Refusal = Omit<Rejection, 'index'>

const collectionName = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,199}$/
const maximumMatches = 10_000
const plainField = /^[A-Za-z][A-Za-z0-9_]*$/
const encodedField = '_field_'
const hashPrefix = 'sha256:'
/** Within these bounds of a vector's squared length, no 32-bit float of an inner product runs over or comes to nothing. */
const shortestSquared = 1e-4
const longestSquared = 1e12

/** What may name a collection in every store. Throws `InvalidInput` (`bad_collection_name`). */
export function assertCollectionName(name: string): void {
  if (isCollectionName(name)) return
  throw new InvalidInput({
    code: 'bad_collection_name',
    message: `"${name}" cannot name a collection: letters, digits, "_", "-" and "." are possible, beginning with a letter or digit.`,
  })
}

/** An option that names a collection. */
export const collectionOption = z
  .string()
  .regex(collectionName, 'a name of up to 200 letters, digits, "_", "-" and ".", beginning with a letter or digit')

export function isCollectionName(name: string): boolean {
  return collectionName.test(name)
}

/**
 * Throws `Fatal` (`fingerprint_mismatch`) when the vectors that are stored cannot be compared with those wanted. `remedy`:
 * what else can be done in this store.
 */
export function assertSameVectors(
  stored: CollectionSpec,
  wanted: CollectionSpec,
  remedy = 'embed it anew with `millrace migrate`',
): void {
  if (isSameVectors(stored, wanted)) return
  throw new Fatal({
    code: 'fingerprint_mismatch',
    message: `Collection "${stored.name}" holds vectors of another model (${describe(stored)}); this pipeline makes ${describe(wanted)}, and the two cannot be compared.`,
    hint: `Name another collection, go back to the model it was made with, or ${remedy}.`,
  })
}

type Space = Pick<CollectionSpec, 'fingerprint' | 'dimension'>

/** Whether vectors of the one can be compared with vectors of the other. */
export function isSameVectors(one: Space, other: Space): boolean {
  return one.fingerprint === other.fingerprint && one.dimension === other.dimension
}

function describe({ fingerprint, dimension }: Space): string {
  return `fingerprint ${fingerprint}, dimension ${dimension}`
}

/** Throws `InvalidInput` (`bad_vector`, `bad_query`) for a query that no collection of this dimension can answer. */
export function assertQuery({ vector, k }: VectorQuery, dimension: number): void {
  const problem = vectorProblem(vector, dimension)
  if (problem !== undefined) throw new InvalidInput({ code: 'bad_vector', message: problem })
  if (Number.isInteger(k) && k >= 1 && k <= maximumMatches) return
  throw new InvalidInput({ code: 'bad_query', message: `k is ${k}; it must be from 1 to ${maximumMatches}.` })
}

/** Why a vector has no cosine with others of this dimension, or undefined. */
export function vectorProblem(vector: Float32Array, dimension: number): string | undefined {
  if (vector.length !== dimension)
    return `The vector has ${vector.length} numbers; this collection's have ${dimension}.`
  let squares = 0
  for (const number of vector) squares += number * number
  if (squares > 0 && Number.isFinite(squares)) return undefined
  return 'The vector is zero or not finite, so it points nowhere.'
}

/**
 * The vector as stores are given it, of a point or of a query: only where it points matters. One that is very long or very
 * short is scaled to length 1, as stores compute in 32-bit floats; any other is left as it is.
 */
export function scaled(vector: Float32Array): Float32Array {
  let squares = 0
  for (const number of vector) squares += number * number
  const isUsual = squares >= shortestSquared && squares <= longestSquared
  if (isUsual || squares === 0 || !Number.isFinite(squares)) return vector
  const length = Math.sqrt(squares)
  return vector.map((number) => number / length)
}

/**
 * A field's name as a key of letters, digits and underscores, whatever is in it. No key begins with `_`, apart from those that
 * are in hexadecimal because the name has other characters.
 */
export function fieldKey(field: string): string {
  return plainField.test(field) ? field : encodedField + Buffer.from(field).toString('hex')
}

/** The field of such a key, or undefined for what a store keeps for itself. */
export function fieldOfKey(key: string): string | undefined {
  if (key.startsWith(encodedField)) return Buffer.from(key.slice(encodedField.length), 'hex').toString()
  return key.startsWith('_') ? undefined : key
}

/**
 * The key of an event where a store takes only some texts: its id, or the hash of one that is not possible there (or looks
 * like such a hash). `sha256` in hexadecimal.
 */
export function keyOfId(id: string, isPossible: boolean, sha256: (text: string) => string): string {
  return isPossible && !isHashedKey(id) ? id : hashPrefix + sha256(id)
}

export function isHashedKey(key: string): boolean {
  return key.startsWith(hashPrefix)
}

/** Halves of surrogate pairs become U+FFFD, as they do wherever text is written as UTF-8. */
export function wellFormed(text: string): string {
  return /\p{Surrogate}/u.test(text) ? Buffer.from(text).toString() : text
}

/** A value as stores hold it, and are asked for it. */
export function storedValue<Value extends FieldValue>(value: Value): Value | string {
  return typeof value === 'string' ? wellFormed(value) : value
}

/**
 * The fields of a collection, each of one type. The first value that is not null says which; until then it is `null`.
 */
export class FieldTypes {
  readonly #types: Map<string, FieldType | null>

  constructor(types: Iterable<readonly [string, FieldType | null]> = []) {
    this.#types = new Map(types)
  }

  get names(): string[] {
    return [...this.#types.keys()]
  }

  get entries(): [string, FieldType | null][] {
    return [...this.#types]
  }

  type(field: string): FieldType | undefined {
    return this.#types.get(field) ?? undefined
  }

  has(field: string): boolean {
    return this.#types.has(field)
  }

  /** Whether a point has a field, or the first value of one, that is not known here. */
  isNews({ fields }: VectorPoint): boolean {
    return Object.entries(fields).some(([field, value]) => value !== null && this.type(field) === undefined)
  }

  /** Takes over what is known elsewhere: fields that are new here, and types where there are none yet. */
  merge(types: Iterable<readonly [string, FieldType | null]>): void {
    for (const [field, type] of types) this.#types.set(field, this.#types.get(field) ?? type)
  }

  /**
   * Why a point cannot be stored, or undefined. `fresh` has the types that values before it in the same write gave to
   * fields; the point's own are added to it when it can be stored.
   */
  refusal(point: VectorPoint, dimension: number, fresh: Map<string, FieldType>): Refusal | undefined {
    const problem = vectorProblem(point.vector, dimension)
    if (problem !== undefined) return { code: 'bad_vector', message: problem }
    const own = new Map<string, FieldType>()
    for (const [field, value] of Object.entries(point.fields)) {
      const refused = this.#fieldRefusal(field, value, fresh)
      if (refused !== undefined) return refused
      const type = fieldType(value)
      if (type !== undefined && this.type(field) === undefined) own.set(field, type)
    }
    for (const [field, type] of own) fresh.set(field, type)
    return undefined
  }

  #fieldRefusal(field: string, value: FieldValue, fresh: ReadonlyMap<string, FieldType>): Refusal | undefined {
    if (!this.has(field)) return { code: 'unknown_field', message: `The collection has no field "${field}".` }
    if (typeof value === 'number' && !Number.isFinite(value)) {
      return { code: 'bad_field', message: `The field "${field}" is ${value}, which cannot be stored.` }
    }
    const type = fieldType(value)
    const expected = this.type(field) ?? fresh.get(field)
    if (type === undefined || expected === undefined || type === expected) return undefined
    const message = `The field "${field}" holds ${expected}s in this collection, and this value is a ${type}.`
    return { code: 'field_type', message }
  }
}

export function isFieldType(value: unknown): value is FieldType {
  return value === 'string' || value === 'number' || value === 'boolean'
}

function fieldType(value: FieldValue): FieldType | undefined {
  const type = typeof value
  return isFieldType(type) ? type : undefined
}
