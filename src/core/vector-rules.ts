import { Fatal, InvalidInput, type Rejection } from './errors.ts'
import type { FieldValue } from './filter.ts'
import type { CollectionSpec, VectorPoint, VectorQuery } from './vector-store.ts'

export type FieldType = 'string' | 'number' | 'boolean'
type Refusal = Omit<Rejection, 'index'>

const collectionName = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,199}$/
const maximumMatches = 10_000

/** What may name a collection in every store. Throws `InvalidInput` (`bad_collection_name`). */
export function assertCollectionName(name: string): void {
  if (isCollectionName(name)) return
  throw new InvalidInput({
    code: 'bad_collection_name',
    message: `"${name}" cannot name a collection: letters, digits, "_", "-" and "." are possible, beginning with a letter or digit.`,
  })
}

export function isCollectionName(name: string): boolean {
  return collectionName.test(name)
}

/** Throws `Fatal` (`fingerprint_mismatch`) when the vectors that are stored cannot be compared with those wanted. */
export function assertSameVectors(stored: CollectionSpec, wanted: CollectionSpec): void {
  if (stored.fingerprint === wanted.fingerprint && stored.dimension === wanted.dimension) return
  throw new Fatal({
    code: 'fingerprint_mismatch',
    message: `Collection "${stored.name}" holds vectors of another model (${describe(stored)}); this pipeline makes ${describe(wanted)}, and the two cannot be compared.`,
    hint: 'Name another collection, go back to the model it was made with, or embed it anew with `millrace migrate`.',
  })
}

function describe({ fingerprint, dimension }: CollectionSpec): string {
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
