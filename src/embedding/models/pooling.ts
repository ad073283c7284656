/**
 * How the vectors of a text's tokens become one: their mean, the first, the last, the largest number of each column, or
 * their mean weighted by position.
 */
export const poolings = ['mean', 'cls', 'last', 'max', 'weightedmean'] as const
export type Pooling = (typeof poolings)[number]

/**
 * Pools rows of `width` numbers into one vector of length 1, which may be shorter than a row: then the rest of each row
 * is left out. `vector` holds zeros.
 */
export function pool(pooling: Pooling, rows: Float32Array, width: number, vector: Float32Array): void {
  if (pooling === 'cls') vector.set(rows.subarray(0, vector.length))
  else if (pooling === 'last') vector.set(rows.subarray(rows.length - width, rows.length - width + vector.length))
  else if (pooling === 'max') addLargest(rows, width, vector)
  else addWeighted(rows, width, vector, pooling === 'weightedmean' ? 1 : 0)
  normalise(vector)
}

/** Brings a vector to length 1. One that is all zeros stays so. */
export function normalise(vector: Float32Array): void {
  let squares = 0
  for (let i = 0; i < vector.length; i++) squares += (vector[i] ?? 0) ** 2
  if (squares === 0) return
  const norm = Math.sqrt(squares)
  for (let i = 0; i < vector.length; i++) vector[i] = (vector[i] ?? 0) / norm
}

function addLargest(rows: Float32Array, width: number, vector: Float32Array): void {
  vector.set(rows.subarray(0, vector.length))
  for (let from = width; from < rows.length; from += width) {
    for (let i = 0; i < vector.length; i++) vector[i] = Math.max(vector[i] ?? 0, rows[from + i] ?? 0)
  }
}

/** A sum: what it would be divided by does not matter for a vector of length 1. The weight grows by `step` each row. */
function addWeighted(rows: Float32Array, width: number, vector: Float32Array, step: 0 | 1): void {
  let weight = 1
  for (let from = 0; from < rows.length; from += width) {
    for (let i = 0; i < vector.length; i++) vector[i] = (vector[i] ?? 0) + weight * (rows[from + i] ?? 0)
    weight += step
  }
}
