import { Fatal } from '../../src/core/errors.ts'
import type { CollectionSpec } from '../../src/core/vector-store.ts'

/** Vectors of two models never mix. */
export function assertSameVectors(stored: CollectionSpec, wanted: CollectionSpec, index: string): void {
  if (stored.fingerprint === wanted.fingerprint && stored.dimension === wanted.dimension) return
  throw new Fatal({
    code: 'fingerprint_mismatch',
    message: `Collection "${stored.name}" holds vectors of another model (${describe(stored)}); this pipeline makes ${describe(wanted)}, and the two cannot be compared.`,
    hint: `Name another collection, or go back to the model it was made with; both are in the Pinecone index "${index}".`,
  })
}

function describe({ fingerprint, dimension }: CollectionSpec): string {
  return `fingerprint ${fingerprint}, dimension ${dimension}`
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
