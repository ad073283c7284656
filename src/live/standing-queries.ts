import { InvalidInput } from '../core/errors.ts'
import { dot, VectorMatrix } from '../similarity/vector-matrix.ts'

/** A query that stands: every new event's vector is compared with it. */
export interface StandingQuery {
  readonly dimension: number
  /** Its row in the matrix of its dimension. */
  readonly row: number
  /** How many queries had been added when it was: a comparison that began before has not seen it. */
  readonly added: number
  release(): void
}

/** What an event is compared by; undefined if it has nothing to compare. */
export type MaybeVector = Float32Array | undefined

/** Vectors that were compared with all standing queries together. */
export interface Comparison {
  /**
   * Cosine similarity of each vector, of length 1, to the query, by index; NaN for one of another dimension. Undefined
   * if all are less than `least`, as it is for nearly every query.
   */
  scores(query: StandingQuery, least: number): Float32Array | undefined
}

/** Scores that one comparison may have: this many take a few milliseconds to look at, and four times the bytes. */
const scoresAtATime = 2 ** 21

/** The standing queries of one channel, by their dimension: a vector is compared with those of its own. */
export class StandingQueries {
  readonly #byDimension = new Map<number, Queries>()
  #added = 0

  get size(): number {
    return [...this.#byDimension.values()].reduce((sum, { size }) => sum + size, 0)
  }

  /** How many vectors may be compared together, at least one. */
  get vectorsAtATime(): number {
    return Math.max(1, Math.floor(scoresAtATime / Math.max(1, this.size)))
  }

  /** Whether one stands under this key, of whatever dimension. */
  has(key: string): boolean {
    for (const queries of this.#byDimension.values()) if (queries.has(key)) return true
    return false
  }

  /** `key` is the same for equal queries. Throws `InvalidInput` (`bad_vector`) for a vector without a direction. */
  add(key: string, vector: Float32Array): StandingQuery {
    const direction = normalised(vector)
    const dimension = vector.length
    const queries = this.#byDimension.get(dimension) ?? new Queries(dimension)
    this.#byDimension.set(dimension, queries)
    const { row, added } = queries.add(key, direction, this.#added++)
    let released = false
    return {
      dimension,
      row,
      added,
      release: () => {
        if (released) return
        released = true
        queries.remove(key)
        if (queries.size === 0) this.#byDimension.delete(dimension)
      },
    }
  }

  /** Compares the vectors with all queries at once, so that it costs each little. */
  async compare(vectors: readonly MaybeVector[]): Promise<Comparison> {
    const before = this.#added
    const tables = new Map<number, Float32Array>()
    for (const [dimension, { matrix }] of this.#byDimension) {
      if (!vectors.some((vector) => vector?.length === dimension)) continue
      // What is no number stays so: these are told from vectors that are far away.
      const nowhere = new Float32Array(dimension).fill(Number.NaN)
      const given = vectors.map((vector) => (vector?.length === dimension ? vector : nowhere))
      tables.set(dimension, await matrix.scoresByRow(given))
    }
    const nothing = new Float32Array(vectors.length).fill(Number.NaN)
    return {
      scores: (query, least) => {
        if (query.added >= before) return this.scores(query, vectors)
        const table = tables.get(query.dimension)
        if (table === undefined) return nothing
        const from = query.row * vectors.length
        const to = from + vectors.length
        for (let at = from; at < to; at++) {
          // What is no number is not less.
          if (!((table[at] ?? 0) < least)) return table.subarray(from, to)
        }
        return undefined
      },
    }
  }

  /** The same for one query, which must not have been released. */
  scores({ dimension, row }: StandingQuery, vectors: readonly MaybeVector[]): Float32Array {
    const direction = this.#byDimension.get(dimension)?.matrix.at(row)
    return Float32Array.from(vectors, (vector) =>
      direction === undefined || vector?.length !== dimension ? Number.NaN : dot(direction, vector),
    )
  }
}

interface Place {
  readonly row: number
  readonly added: number
  users: number
}

/** A row for each distinct query of one dimension. */
class Queries {
  readonly matrix: VectorMatrix
  readonly #places = new Map<string, Place>()

  constructor(dimension: number) {
    this.matrix = new VectorMatrix(dimension)
  }

  get size(): number {
    return this.#places.size
  }

  has(key: string): boolean {
    return this.#places.has(key)
  }

  add(key: string, direction: Float32Array, added: number): Place {
    const known = this.#places.get(key)
    if (known) {
      known.users++
      return known
    }
    const place = { row: this.matrix.add(direction), added, users: 1 }
    this.#places.set(key, place)
    return place
  }

  remove(key: string): void {
    const place = this.#places.get(key)
    if (!place || --place.users > 0) return
    this.#places.delete(key)
    this.matrix.remove(place.row)
  }
}

function normalised(vector: Float32Array): Float32Array {
  const length = Math.hypot(...vector)
  if (length === 0 || !Number.isFinite(length)) {
    throw new InvalidInput({
      code: 'bad_vector',
      message: 'The vector has no direction: its length is 0 or no number.',
    })
  }
  return vector.map((value) => value / length)
}
