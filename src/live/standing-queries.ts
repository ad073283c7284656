import { InvalidInput } from '../core/errors.ts'

/** A query that stands: every new event's vector is compared with it. */
export interface StandingQuery {
  /** Its row in the matrix, and so its index in the scores. */
  readonly row: number
  release(): void
}

interface Row {
  readonly row: number
  users: number
}

/**
 * The standing queries of one channel as one matrix, a row for each distinct query, so that an event is compared with
 * all of them in one pass over contiguous memory.
 */
export class StandingQueries {
  readonly #rows = new Map<string, Row>()
  readonly #free: number[] = []
  #matrix = new Float32Array(0)
  #dimension = 0
  #height = 0

  get size(): number {
    return this.#rows.size
  }

  /** `key` is the same for equal queries. Throws `InvalidInput` for a vector of another dimension than the others. */
  add(key: string, vector: Float32Array): StandingQuery {
    const known = this.#rows.get(key)
    if (known) {
      known.users++
      return this.#handle(key, known)
    }
    if (this.#rows.size === 0) this.#reset(vector.length)
    if (vector.length !== this.#dimension) {
      throw new InvalidInput({
        code: 'dimension_mismatch',
        message: `The vector has ${vector.length} numbers, but this channel's standing queries have ${this.#dimension}.`,
      })
    }
    const row = { row: this.#free.pop() ?? this.#height++, users: 1 }
    if ((row.row + 1) * this.#dimension > this.#matrix.length) this.#grow()
    this.#matrix.set(normalised(vector), row.row * this.#dimension)
    this.#rows.set(key, row)
    return this.#handle(key, row)
  }

  /** Cosine similarity of a vector of length 1 to each query, by row; undefined if the dimension is another. */
  compare(vector: Float32Array): Float32Array | undefined {
    const dimension = this.#dimension
    if (vector.length !== dimension) return undefined
    const matrix = this.#matrix
    const scores = new Float32Array(this.#height)
    for (let row = 0, at = 0; row < scores.length; row++, at += dimension) {
      let sum = 0
      for (let index = 0; index < dimension; index++) sum += (matrix[at + index] ?? 0) * (vector[index] ?? 0)
      scores[row] = sum
    }
    return scores
  }

  #handle(key: string, row: Row): StandingQuery {
    let released = false
    return {
      row: row.row,
      release: () => {
        if (released) return
        released = true
        if (--row.users > 0) return
        this.#rows.delete(key)
        this.#free.push(row.row)
      },
    }
  }

  #reset(dimension: number): void {
    this.#dimension = dimension
    this.#height = 0
    this.#free.length = 0
    this.#matrix = new Float32Array(0)
  }

  #grow(): void {
    const grown = new Float32Array(Math.max(16 * this.#dimension, this.#matrix.length * 2))
    grown.set(this.#matrix)
    this.#matrix = grown
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
