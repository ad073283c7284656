import { InvalidInput } from '../core/errors.ts'

/** A query that stands: every new event's vector is compared with it. */
export interface StandingQuery {
  readonly dimension: number
  /** Its row in the matrix of its dimension, and so its index in the scores. */
  readonly row: number
  release(): void
}

/** The standing queries of one channel, by their dimension: a vector is compared with those of its own. */
export class StandingQueries {
  readonly #matrices = new Map<number, QueryMatrix>()

  get size(): number {
    return [...this.#matrices.values()].reduce((sum, { size }) => sum + size, 0)
  }

  /** `key` is the same for equal queries. Throws `InvalidInput` (`bad_vector`) for a vector without a direction. */
  add(key: string, vector: Float32Array): StandingQuery {
    const direction = normalised(vector)
    const dimension = vector.length
    const matrix = this.#matrices.get(dimension) ?? new QueryMatrix(dimension)
    this.#matrices.set(dimension, matrix)
    const row = matrix.add(key, direction)
    let released = false
    return {
      dimension,
      row,
      release: () => {
        if (released) return
        released = true
        matrix.remove(key)
        if (matrix.size === 0) this.#matrices.delete(dimension)
      },
    }
  }

  /** Cosine similarity of a vector of length 1 to each query of its dimension, by row; undefined if there is none. */
  compare(vector: Float32Array): Float32Array | undefined {
    return this.#matrices.get(vector.length)?.compare(vector)
  }
}

interface Row {
  readonly row: number
  users: number
}

/** A row for each distinct query, so that an event is compared with all in one pass over contiguous memory. */
class QueryMatrix {
  readonly #dimension: number
  readonly #rows = new Map<string, Row>()
  readonly #free: number[] = []
  #values = new Float32Array(0)
  #height = 0

  constructor(dimension: number) {
    this.#dimension = dimension
  }

  get size(): number {
    return this.#rows.size
  }

  add(key: string, direction: Float32Array): number {
    const known = this.#rows.get(key)
    if (known) {
      known.users++
      return known.row
    }
    const row = this.#free.pop() ?? this.#height++
    if ((row + 1) * this.#dimension > this.#values.length) this.#grow()
    this.#values.set(direction, row * this.#dimension)
    this.#rows.set(key, { row, users: 1 })
    return row
  }

  remove(key: string): void {
    const known = this.#rows.get(key)
    if (!known || --known.users > 0) return
    this.#rows.delete(key)
    this.#free.push(known.row)
  }

  compare(vector: Float32Array): Float32Array {
    const dimension = this.#dimension
    const values = this.#values
    const scores = new Float32Array(this.#height)
    for (let row = 0, at = 0; row < scores.length; row++, at += dimension) {
      let sum = 0
      for (let index = 0; index < dimension; index++) sum += (values[at + index] ?? 0) * (vector[index] ?? 0)
      scores[row] = sum
    }
    return scores
  }

  #grow(): void {
    const grown = new Float32Array(Math.max(16 * this.#dimension, this.#values.length * 2))
    grown.set(this.#values)
    this.#values = grown
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
