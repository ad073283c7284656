import { z } from 'zod'

const answerSchema = z.object({
  data: z.array(z.object({ index: z.int(), embedding: z.unknown() })),
  usage: z.object({ prompt_tokens: z.number().nonnegative() }).optional().catch(undefined),
  /** Of a Millrace server: which model has computed. */
  fingerprint: z.string().optional().catch(undefined),
})

export interface Embeddings {
  /** By index of the text. Undefined for one whose vector has no direction: numbers that are none, or all of them 0. */
  readonly vectors: (Float32Array | undefined)[]
  /** The tokens of all texts, where the server tells. */
  readonly tokens: number | undefined
  readonly fingerprint: string | undefined
}

/** What is wrong with an answer. */
export class BadAnswer extends Error {}

/** Vectors of another length than the model's: there is another model behind the name. */
export class OtherDimension extends BadAnswer {}

export interface Wanted {
  /** How many texts were sent. */
  readonly texts: number
  /** Numbers in each vector of the answer; undefined: any, but the same for all. */
  readonly length: number | undefined
  /** How many of these to keep; undefined: all. */
  readonly dimension: number | undefined
}

/** The vectors of an answer, each of length 1. Throws `BadAnswer`: which vector is which text's is never guessed. */
export function readEmbeddings(answer: unknown, { texts, length, dimension }: Wanted): Embeddings {
  const { success, data, error } = answerSchema.safeParse(answer)
  if (!success) {
    const [issue] = error.issues
    throw new BadAnswer(`${issue?.path.join('.') || 'it'}: ${issue?.message}`)
  }
  if (data.data.length !== texts) throw new BadAnswer(`${data.data.length} vectors for ${texts} texts`)
  const vectors = new Array<Float32Array | undefined>(texts)
  const seen = new Set<number>()
  let width = length
  for (const { index, embedding } of data.data) {
    if (index < 0 || index >= texts || seen.has(index))
      throw new BadAnswer(`the index ${index} is of no text, or twice`)
    seen.add(index)
    const numbers = numbersOf(embedding)
    width ??= numbers.length
    if (numbers.length !== width) throw new OtherDimension(`a vector of ${numbers.length} numbers instead of ${width}`)
    vectors[index] = ofLengthOne(numbers.subarray(0, dimension))
  }
  return { vectors, tokens: data.usage?.prompt_tokens, fingerprint: data.fingerprint }
}

function numbersOf(embedding: unknown): Float32Array {
  if (typeof embedding === 'string') return fromBase64(embedding)
  if (!Array.isArray(embedding)) throw new BadAnswer('an embedding is neither a list of numbers nor base64')
  return Float32Array.from(embedding, (value: unknown) => (typeof value === 'number' ? value : Number.NaN))
}

/** Little-endian 32-bit floats. */
function fromBase64(text: string): Float32Array {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.length === 0 || bytes.length % 4 !== 0) throw new BadAnswer('an embedding is no base64 of 32-bit floats')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return Float32Array.from({ length: bytes.length / 4 }, (_, index) => view.getFloat32(index * 4, true))
}

/** How far from 1 a length may be that is only rounded: such a vector stays as it is, bit by bit. */
const rounding = 1e-6

/** With memory of its own. */
function ofLengthOne(numbers: Float32Array): Float32Array | undefined {
  const length = Math.sqrt(numbers.reduce((sum, value) => sum + value * value, 0))
  if (!(length > 0) || length === Number.POSITIVE_INFINITY) return undefined
  return Math.abs(length - 1) <= rounding ? numbers.slice() : numbers.map((value) => value / length)
}
