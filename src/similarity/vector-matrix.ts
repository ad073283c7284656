export interface Nearest {
  readonly row: number
  /** Inner product, which is the cosine similarity of vectors of length 1. */
  readonly score: number
}

/** Vectors of one dimension as rows of a matrix, compared with many others at once. All are of length 1. */
export class VectorMatrix {
  readonly dimension: number
  #values = new Float32Array(0)
  #height = 0
  readonly #free: number[] = []
  readonly #used = new Set<number>()

  constructor(dimension: number) {
    this.dimension = dimension
  }

  /** Rows that hold a vector. */
  get size(): number {
    return this.#used.size
  }

  /** Rows that there are, with those that are free again: scores have as many entries. */
  get height(): number {
    return this.#height
  }

  /** Puts a vector into a free row, and answers which. It is copied. */
  add(vector: Float32Array): number {
    const row = this.#free.pop() ?? this.#height++
    if (this.#height * this.dimension > this.#values.length) this.#grow()
    this.#used.add(row)
    this.set(row, vector)
    return row
  }

  /** Replaces the vector of a row. */
  set(row: number, vector: Float32Array): void {
    this.#values.set(vector, row * this.dimension)
  }

  /** Frees a row. Its score is 0 from then on, and it is never the nearest. */
  remove(row: number): void {
    if (!this.#used.delete(row)) return
    this.#values.fill(0, row * this.dimension, (row + 1) * this.dimension)
    this.#free.push(row)
  }

  /** The vector of a row, as it stands in the matrix: to be copied by whoever keeps it. */
  at(row: number): Float32Array {
    return this.#values.subarray(row * this.dimension, (row + 1) * this.dimension)
  }

  /** For each vector, by index, its inner product with every row. */
  scores(vectors: readonly Float32Array[]): Promise<Float32Array[]> {
    return Promise.resolve(
      vectors.map((vector) => Float32Array.from({ length: this.#height }, (_, row) => dot(this.at(row), vector))),
    )
  }

  /** For each vector, by index, the row that is nearest, the first of equally near ones; undefined if there is none. */
  async nearest(vectors: readonly Float32Array[]): Promise<(Nearest | undefined)[]> {
    const all = await this.scores(vectors)
    return all.map((scores) => {
      let best: Nearest | undefined
      for (const row of this.#used) {
        const score = scores[row] ?? 0
        if (best === undefined || score > best.score || (score === best.score && row < best.row)) best = { row, score }
      }
      return best
    })
  }

  #grow(): void {
    const grown = new Float32Array(Math.max(16 * this.dimension, this.#values.length * 2))
    grown.set(this.#values)
    this.#values = grown
  }
}

/** Inner product. */
export function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0
  for (let index = 0; index < a.length; index++) sum += (a[index] ?? 0) * (b[index] ?? 0)
  return sum
}
