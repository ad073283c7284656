import type { Kernel } from './kernel.ts'
import { loops } from './loops.ts'
import { fastestKernel } from './native.ts'

export { dot } from './loops.ts'

export interface Nearest {
  readonly row: number
  /** Inner product, which is the cosine similarity of vectors of length 1. */
  readonly score: number
}

/** From so many multiply-adds on the native kernel is worth its turn of the event loop: loops take half a millisecond. */
const fewMultiplyAdds = 2 ** 20
/** More at a time would gain nothing. */
const vectorsAtATime = 256
const leastCapacity = 16

/**
 * Vectors of one dimension as rows of a matrix, compared with many others at once. All are of length 1.
 *
 * A row takes `4 * dimension + 1` bytes. There is room for up to twice the rows that were needed, and for up to four
 * times as many when rows have gone: free rows are used again from the first on, and room at the end is given back.
 *
 * A large comparison takes several turns of the event loop. A row that changes meanwhile is compared as it was or as it
 * is, and one that is removed may still be the answer.
 */
export class VectorMatrix {
  readonly dimension: number
  #values = new Float32Array(0)
  /** 1 for each row that holds a vector. */
  #used = new Uint8Array(0)
  #size = 0
  #height = 0
  /** No row before this one is free. */
  #firstFree = 0

  constructor(dimension: number) {
    this.dimension = dimension
  }

  /** Rows that hold a vector. */
  get size(): number {
    return this.#size
  }

  /** One more than the last row that holds a vector: scores have as many entries. */
  get height(): number {
    return this.#height
  }

  /** Bytes that the matrix takes. */
  get bytes(): number {
    return this.#values.byteLength + this.#used.byteLength
  }

  /** Puts a vector into the first free row, and answers which. It is copied. */
  add(vector: Float32Array): number {
    const free = this.#used.indexOf(0, this.#firstFree)
    const row = free < 0 ? this.#used.length : free
    if (free < 0) this.#resize(Math.max(leastCapacity, 2 * row))
    this.set(row, vector)
    this.#used[row] = 1
    this.#size++
    this.#firstFree = row + 1
    this.#height = Math.max(this.#height, row + 1)
    return row
  }

  /** Replaces the vector of a row. */
  set(row: number, vector: Float32Array): void {
    this.#check(vector)
    this.#values.set(vector, row * this.dimension)
  }

  /** Frees a row. Its score is 0 from then on, and it is never the nearest. */
  remove(row: number): void {
    if (this.#used[row] !== 1) return
    this.#used[row] = 0
    this.#size--
    this.#values.fill(0, row * this.dimension, (row + 1) * this.dimension)
    this.#firstFree = Math.min(this.#firstFree, row)
    if (row + 1 < this.#height) return
    this.#height = this.#used.lastIndexOf(1) + 1
    const capacity = this.#used.length
    if (this.#height <= capacity / 4 && capacity > leastCapacity) {
      this.#resize(Math.max(leastCapacity, 2 * this.#height))
    }
  }

  /** The vector of a row, as it stands in the matrix: to be copied by whoever keeps it. */
  at(row: number): Float32Array {
    return this.#values.subarray(row * this.dimension, (row + 1) * this.dimension)
  }

  /** For each vector, by index, its inner product with every row. */
  async scores(vectors: readonly Float32Array[]): Promise<Float32Array[]> {
    const height = this.#height
    const scores = vectors.map(() => new Float32Array(height))
    await this.#compare(vectors, height, ({ products, row: first, rows, vector: from, width }) => {
      for (let v = 0; v < width; v++) {
        const target = scores[from + v]
        if (target === undefined) continue
        for (let r = 0; r < rows; r++) target[first + r] = products[r * width + v] ?? 0
      }
    })
    return scores
  }

  /** The same in one array, row after row: the score of row r and vector v is at `r * vectors.length + v`. */
  async scoresByRow(vectors: readonly Float32Array[]): Promise<Float32Array> {
    const height = this.#height
    const scores = new Float32Array(height * vectors.length)
    await this.#compare(vectors, height, ({ products, row, rows, vector, width }) => {
      if (width === vectors.length) {
        scores.set(products, row * width)
        return
      }
      for (let r = 0; r < rows; r++) {
        scores.set(products.subarray(r * width, (r + 1) * width), (row + r) * vectors.length + vector)
      }
    })
    return scores
  }

  /**
   * For each vector, by index, the row that is nearest, the first of equally near ones. Undefined if there is none, or
   * the vector has entries that are no numbers.
   */
  async nearest(vectors: readonly Float32Array[]): Promise<(Nearest | undefined)[]> {
    const bestRows = new Int32Array(vectors.length).fill(-1)
    const bestScores = new Float32Array(vectors.length).fill(Number.NEGATIVE_INFINITY)
    await this.#compare(vectors, this.#height, ({ products, row, rows, vector, width }) => {
      for (let r = 0; r < rows; r++) {
        if (this.#used[row + r] !== 1) continue
        for (let v = 0; v < width; v++) {
          const score = products[r * width + v] ?? 0
          if (score <= (bestScores[vector + v] ?? 0)) continue
          if (Number.isNaN(score)) continue
          bestScores[vector + v] = score
          bestRows[vector + v] = row + r
        }
      }
    })
    return vectors.map((_, index) => {
      const row = bestRows[index] ?? -1
      return row < 0 ? undefined : { row, score: bestScores[index] ?? 0 }
    })
  }

  /** With the rows before `height`, which the caller has room for, whatever is added meanwhile. */
  async #compare(vectors: readonly Float32Array[], height: number, take: (block: Block) => void): Promise<void> {
    const few = height * vectors.length * this.dimension < fewMultiplyAdds
    const kernel = few ? loops : await fastestKernel()
    for (let vector = 0; vector < vectors.length; vector += vectorsAtATime) {
      const some = this.#joined(vectors.slice(vector, vector + vectorsAtATime))
      await this.#multiply(some, height, kernel, (block) => take({ ...block, vector }))
    }
  }

  /** In calls that hold nobody up. A small matrix is a single call. */
  async #multiply(vectors: Float32Array, height: number, kernel: Kernel, take: (block: Omit<Block, 'vector'>) => void) {
    const { dimension } = this
    const width = vectors.length / dimension
    const rowsPerCall = Math.max(1, Math.floor(kernel.multiplyAdds / vectors.length))
    const scratch = new Float32Array(Math.min(rowsPerCall, height) * width)
    for (let row = 0; row < Math.min(height, this.#height); row += rowsPerCall) {
      const count = Math.min(rowsPerCall, Math.min(height, this.#height) - row)
      const rows = this.#values.subarray(row * dimension, (row + count) * dimension)
      const products = scratch.subarray(0, count * width)
      await kernel.multiply({ rows, vectors, dimension, products })
      take({ products, row, rows: count, width })
    }
  }

  #joined(vectors: readonly Float32Array[]): Float32Array {
    const joined = new Float32Array(vectors.length * this.dimension)
    for (const [index, vector] of vectors.entries()) {
      this.#check(vector)
      joined.set(vector, index * this.dimension)
    }
    return joined
  }

  #check(vector: Float32Array): void {
    if (vector.length === this.dimension) return
    throw new RangeError(`a vector of ${vector.length} numbers does not fit a matrix of dimension ${this.dimension}`)
  }

  #resize(capacity: number): void {
    const values = new Float32Array(capacity * this.dimension)
    values.set(this.#values.subarray(0, this.#height * this.dimension))
    this.#values = values
    const used = new Uint8Array(capacity)
    used.set(this.#used.subarray(0, this.#height))
    this.#used = used
  }
}

/** Inner products of some rows with some vectors, as a kernel puts them. */
interface Block {
  readonly products: Float32Array
  /** The first row, and how many there are. */
  readonly row: number
  readonly rows: number
  /** The first vector, and how many there are. */
  readonly vector: number
  readonly width: number
}
