/** Multiplies vectors with the rows of a matrix. Both lie one behind the other, `dimension` numbers each. */
export interface Kernel {
  /** Multiply-adds that one call may have, so that it holds up its thread for a few milliseconds at most. */
  readonly multiplyAdds: number
  /** Puts the inner product of row r with vector v into `products` at `r * number of vectors + v`. */
  multiply(operands: Operands): void | Promise<void>
}

export interface Operands {
  readonly rows: Float32Array
  readonly vectors: Float32Array
  readonly dimension: number
  readonly products: Float32Array
}
