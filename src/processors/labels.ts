import type { Embedder } from '../core/embedder.ts'
import { type Nearest, VectorMatrix } from '../similarity/vector-matrix.ts'

/** Each label with its description in words, or with several. */
export type Descriptions = Readonly<Record<string, string | readonly string[]>>

export interface Found {
  readonly label: string
  /** Cosine similarity to the nearest of its descriptions. */
  readonly score: number
}

/** More than these are bulk work: they give way to what someone waits for. */
const fewDescriptions = 64
/** Texts that are asked for together: the bulk work of others comes in between. */
const textsAtATime = 128

/** Labels as vectors of what describes them. They are computed once, begun at once. */
export class Labels {
  readonly #described: readonly { readonly label: string; readonly words: string }[]
  readonly #embedder: Embedder
  #matrix: Promise<VectorMatrix> | undefined

  constructor(descriptions: Descriptions, embedder: Embedder) {
    this.#described = describedBy(descriptions)
    this.#embedder = embedder
    // Begun early so that the first event need not wait for it; its failure is for the first event to meet.
    this.ready().catch(() => {})
  }

  /** Resolves when all vectors are there. After a failure the next call tries again. */
  async ready(): Promise<void> {
    this.#matrix ??= this.#embed().catch((error: unknown) => {
      this.#matrix = undefined
      throw error
    })
    await this.#matrix
  }

  /** The nearest label of each vector, by index: of equally near ones the first. */
  async nearest(vectors: readonly Float32Array[]): Promise<(Found | undefined)[]> {
    const matrix = await this.#matrix
    if (matrix === undefined) throw new Error('the labels have not been waited for')
    return (await matrix.nearest(vectors)).map((nearest) => nearest && this.#found(nearest))
  }

  #found({ row, score }: Nearest): Found | undefined {
    const described = this.#described[row]
    return described && { label: described.label, score }
  }

  /** A row for each description, in their order. */
  async #embed(): Promise<VectorMatrix> {
    const matrix = new VectorMatrix(this.#embedder.dimension)
    const priority = this.#described.length <= fewDescriptions ? 'query' : 'bulk'
    for (let from = 0; from < this.#described.length; from += textsAtATime) {
      const texts = this.#described.slice(from, from + textsAtATime).map(({ words }) => words)
      const vectors = await this.#embedder.embed(texts, { priority, purpose: 'query' })
      for (const vector of vectors) matrix.add(vector)
    }
    return matrix
  }
}

export function describedBy(descriptions: Descriptions) {
  return Object.entries(descriptions).flatMap(([label, words]) =>
    (typeof words === 'string' ? [words] : words).map((each) => ({ label, words: each })),
  )
}
