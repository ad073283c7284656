import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Kernel, Operands } from './kernel.ts'

/** Plain loops, at once: for small products. */
export const loops: Kernel = { multiplyAdds: 2 ** 22, multiply }

/** Plain loops, each call in a turn of its own: for where the native library is not to be had. */
export const loopsInTurns: Kernel = {
  ...loops,
  async multiply(operands) {
    await nextTurn()
    multiply(operands)
  },
}

/**
 * Four rows with two vectors at a time, so that what is loaded is used more than once: about twice as fast as one inner
 * product after the other. At the ends the last row, or vector, stands in for those that are not there.
 */
function multiply({ rows, vectors, dimension, products }: Operands): void {
  const height = rows.length / dimension
  const width = vectors.length / dimension
  for (let row = 0; row < height; row += 4) {
    const r0 = row
    const r1 = Math.min(row + 1, height - 1)
    const r2 = Math.min(row + 2, height - 1)
    const r3 = Math.min(row + 3, height - 1)
    for (let v0 = 0; v0 < width; v0 += 2) {
      const v1 = Math.min(v0 + 1, width - 1)
      let s00 = 0
      let s01 = 0
      let s10 = 0
      let s11 = 0
      let s20 = 0
      let s21 = 0
      let s30 = 0
      let s31 = 0
      for (let i = 0; i < dimension; i++) {
        const a = vectors[v0 * dimension + i] ?? 0
        const b = vectors[v1 * dimension + i] ?? 0
        const x0 = rows[r0 * dimension + i] ?? 0
        const x1 = rows[r1 * dimension + i] ?? 0
        const x2 = rows[r2 * dimension + i] ?? 0
        const x3 = rows[r3 * dimension + i] ?? 0
        s00 += x0 * a
        s01 += x0 * b
        s10 += x1 * a
        s11 += x1 * b
        s20 += x2 * a
        s21 += x2 * b
        s30 += x3 * a
        s31 += x3 * b
      }
      products[r0 * width + v0] = s00
      products[r0 * width + v1] = s01
      products[r1 * width + v0] = s10
      products[r1 * width + v1] = s11
      products[r2 * width + v0] = s20
      products[r2 * width + v1] = s21
      products[r3 * width + v0] = s30
      products[r3 * width + v1] = s31
    }
  }
}

/** Inner product. */
export function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0
  for (let index = 0; index < a.length; index++) sum += (a[index] ?? 0) * (b[index] ?? 0)
  return sum
}
