/** Names of the inputs and the output, and of the lengths of their sides. */
export const rows = 'rows'
export const vectors = 'vectors'
export const products = 'products'

const float32 = 1
const integerAttribute = 2
const irVersion = 8
const operatorSet = 13

/**
 * An ONNX model of a single node, `products = rows × vectors transposed`, for matrices of any size: the bytes of a
 * `ModelProto`, whose field numbers stand in `onnx.proto`.
 */
export function gemmModel(): Uint8Array {
  const transposed = [...text(1, 'transB'), ...integer(3, 1), ...integer(20, integerAttribute)]
  const node = [
    ...text(1, rows),
    ...text(1, vectors),
    ...text(2, products),
    ...text(4, 'Gemm'),
    ...bytes(5, transposed),
  ]
  const graph = [
    ...bytes(1, node),
    ...text(2, 'similarity'),
    ...bytes(11, matrix(rows, ['height', 'dimension'])),
    ...bytes(11, matrix(vectors, ['width', 'dimension'])),
    ...bytes(12, matrix(products, ['height', 'width'])),
  ]
  return Uint8Array.from([...integer(1, irVersion), ...bytes(7, graph), ...bytes(8, integer(2, operatorSet))])
}

function matrix(name: string, sides: readonly string[]): number[] {
  const shape = sides.flatMap((side) => bytes(1, text(2, side)))
  return [...text(1, name), ...bytes(2, bytes(1, [...integer(1, float32), ...bytes(2, shape)]))]
}

function integer(field: number, value: number): number[] {
  return [...varint(field << 3), ...varint(value)]
}

function text(field: number, value: string): number[] {
  return bytes(field, [...new TextEncoder().encode(value)])
}

function bytes(field: number, value: readonly number[]): number[] {
  return [...varint((field << 3) | 2), ...varint(value.length), ...value]
}

function varint(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >>> 7)]
}
