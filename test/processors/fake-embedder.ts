import type { Embedder } from '../../src/core/embedder.ts'

/** Stands for a model of few dimensions, for processors that take vectors and embed nothing. */
export function fakeEmbedder(dimension: number, fingerprint = 'fake'): Embedder {
  const refused = () => Promise.reject(new Error('the fake embeds nothing'))
  return {
    model: 'fake',
    fingerprint,
    dimension,
    maxTokens: 0,
    prefixes: { query: '', passage: '' },
    embed: refused,
    countTokens: refused,
    close: () => Promise.resolve(),
  }
}

/** Vectors of length 1 in two dimensions, by their angle. */
export function atAngle(degrees: number): Float32Array {
  return Float32Array.of(Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180))
}

/** The score of two vectors that are this far apart. */
export function scoreAt(degrees: number): number {
  return Math.cos((degrees * Math.PI) / 180)
}
