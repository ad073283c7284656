import { endianness } from 'node:os'

const bytesPerNumber = Float32Array.BYTES_PER_ELEMENT

/** A vector as text for the state: 32-bit floats, least significant byte first, in base64. */
export function textOfVector(vector: Float32Array): string {
  return inOrder(Buffer.from(new Float32Array(vector).buffer)).toString('base64')
}

/** Exactly the vector that the text was made of; undefined if it has another dimension. */
export function vectorOfText(text: string, dimension: number): Float32Array | undefined {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length !== dimension * bytesPerNumber) return undefined
  return new Float32Array(new Uint8Array(inOrder(bytes)).buffer)
}

/** From this machine's order of bytes to that of the text, or back. */
function inOrder(bytes: Buffer): Buffer {
  return endianness() === 'LE' ? bytes : bytes.swap32()
}
