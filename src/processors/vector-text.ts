/** A vector as text for the state: 32-bit floats, least significant byte first, in base64. */
export function textOfVector(vector: Float32Array): string {
  const view = new DataView(new ArrayBuffer(vector.length * Float32Array.BYTES_PER_ELEMENT))
  for (const [index, value] of vector.entries()) view.setFloat32(index * Float32Array.BYTES_PER_ELEMENT, value, true)
  return Buffer.from(view.buffer).toString('base64')
}

/** Exactly the vector that the text was made of; undefined if it has another dimension. */
export function vectorOfText(text: string, dimension: number): Float32Array | undefined {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length !== dimension * Float32Array.BYTES_PER_ELEMENT) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return Float32Array.from({ length: dimension }, (_, index) =>
    view.getFloat32(index * Float32Array.BYTES_PER_ELEMENT, true),
  )
}
