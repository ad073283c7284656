import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Event } from '../../src/core/event.ts'
import type { CachingEmbedder } from '../../src/embedding/embedder.ts'
import { embed } from '../../src/processors/embed.ts'
import { makeWith, openEmbedder, run } from './embedder.ts'
import { event, events, summary } from './support.ts'

let embedder: CachingEmbedder
beforeAll(async () => {
  embedder = await openEmbedder({ crashOn: 'deadly' })
})
afterAll(() => embedder.close())

it('puts the vector of the text beside the value and the vectors that are there', async () => {
  const processor = await makeWith(embedder, embed, { text: 'value.a + value.b', as: 'meaning' })
  const other = new Float32Array([1])
  const value = { a: 'charged ', b: 'twice' }
  const [outcome] = await run(processor, [event(value, { vectors: { other }, key: 'k' })])
  const [expected] = await embedder.embed(['charged twice'])
  expect(outcome).toEqual(event(value, { vectors: { other, meaning: expected } as Event['vectors'], key: 'k' }))
})

it('computes a batch in one go, and fails single events for what is wrong with them', async () => {
  const before = embedder.stats()
  const processor = await makeWith(embedder, embed, { text: 'value.text' })
  const batch = events({ text: 'first' }, { text: ' \n' }, { other: 1 }, { text: 'second' }, { text: 'first' })
  const outcomes = await run(processor, batch)
  expect(summary(outcomes)).toEqual([
    { text: 'first' },
    'empty_text',
    'expression_failed',
    { text: 'second' },
    { text: 'first' },
  ])
  expect(embedder.stats().computed - before.computed).toBe(2)
  const vectors = outcomes.map((outcome) => outcome !== null && 'vectors' in outcome && outcome.vectors.vector)
  expect(vectors[0]).toEqual(vectors[4])
  expect(vectors[0]).not.toEqual(vectors[3])
})

it('fails only the text that the model cannot take', async () => {
  const processor = await makeWith(embedder, embed, { text: 'value' })
  const outcomes = await run(processor, events('good', 'deadly', 'better'))
  expect(summary(outcomes)).toEqual(['good', 'text_not_embeddable', 'better'])
})

it('adds its vector to the shape, and takes just a text', () => {
  const shape = { fields: new Set(['body']), vectors: new Set(['first']) }
  expect(embed.shape({ text: 'value.body' }, shape).vectors).toEqual(new Set(['first', 'vector']))
  expect(embed.main).toBe('text')
})
