import { afterAll, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import type { Embedder } from '../../src/core/embedder.ts'
import { noVectors } from '../../src/core/event.ts'
import {
  eitherOr,
  type MeaningOptions,
  meaningOptions,
  meaningReferences,
  meaningsOf,
} from '../../src/processors/texts.ts'
import { dot } from '../../src/similarity/vector-matrix.ts'
import { openEmbedder } from './embedder.ts'
import { contextFor, event, events } from './support.ts'

let embedder: Embedder
beforeAll(async () => {
  embedder = await openEmbedder()
})
afterAll(() => embedder.close())

function meanings(options: MeaningOptions) {
  return meaningsOf(options, embedder, contextFor('compare'))
}
const { signal } = new AbortController()

it('takes a vector that the event has, brought to length 1', async () => {
  const [vector] = await embedder.embed(['a text'])
  if (vector === undefined) throw new Error('no vector')
  const tripled = vector.map((value) => value * 3)
  const batch = [event(1, { vectors: { v: vector } }), event(2, { vectors: { v: tripled } })]
  const [same, scaled] = await meanings({ vector: 'v' })(batch, signal)
  expect(same).toBe(vector)
  if (!(scaled instanceof Float32Array)) throw new Error('it failed')
  expect(dot(scaled, scaled)).toBeCloseTo(1, 5)
  expect(dot(scaled, vector)).toBeCloseTo(1, 5)
})

it('embeds a text', async () => {
  const [vector] = await embedder.embed(['a text'])
  const [own, empty] = await meanings({ text: 'value' })(events('a text', ' '), signal)
  expect(own).toEqual(vector)
  expect(empty).toMatchObject({ failed: true, code: 'empty_text' })
})

it('says why an event has no meaning', async () => {
  const { dimension } = embedder
  const vectors = [noVectors, { v: new Float32Array(3) }, { v: new Float32Array(dimension) }]
  const broken = { v: new Float32Array(dimension).fill(Number.NaN) }
  const batch = [...vectors, broken].map((each) => event(1, { vectors: each }))
  const found = await meanings({ vector: 'v' })(batch, signal)
  expect(found.map((each) => ('code' in each ? each.code : 'none'))).toEqual([
    'vector_missing',
    'dimension_mismatch',
    'vector_without_direction',
    'vector_without_direction',
  ])
})

it('wants either a vector or a text, and names it for lint', () => {
  const options = z.strictObject(meaningOptions).refine(...eitherOr)
  expect(options.safeParse({ vector: 'v' }).success).toBe(true)
  expect(() => options.parse({})).toThrow('either')
  expect(() => options.parse({ vector: 'v', text: 'value.t' })).toThrow('either')
  expect(meaningReferences({ vector: 'v' })).toEqual([{ kind: 'vector', path: ['vector'], name: 'v' }])
  expect(meaningReferences({ text: 'value.t' })).toEqual([
    { kind: 'expression', path: ['text'], text: 'value.t', returns: 'string' },
  ])
})
