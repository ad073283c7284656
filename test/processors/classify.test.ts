import { afterAll, beforeAll, expect, it } from 'vitest'
import { noVectors } from '../../src/core/event.ts'
import type { CachingEmbedder } from '../../src/embedding/embedder.ts'
import { classify } from '../../src/processors/classify.ts'
import { makeWith, openEmbedder, run } from './embedder.ts'
import { event, events, summary } from './support.ts'

const labels = {
  billing: 'invoices, payments, charges and refunds',
  outage: 'the service is down or shows errors',
  howto: 'how do I do this, where do I find it',
}
const texts = ['I was charged twice this month', 'Nothing responds since ten minutes', 'How can I add a colleague?']

let embedder: CachingEmbedder
beforeAll(async () => {
  embedder = await openEmbedder()
})
afterAll(() => embedder.close())

it('sets the nearest label from a vector', async () => {
  const vectors = await embedder.embed(texts)
  const processor = await makeWith(embedder, classify, { vector: 'meaning', as: 'category', labels })
  const batch = vectors.map((meaning, offset) =>
    event({ n: offset }, { vectors: { meaning: meaning.map((value) => value * 3) } }),
  )
  const outcomes = await run(processor, batch)
  expect(summary(outcomes)).toEqual([
    { n: 0, category: 'billing' },
    { n: 1, category: 'outage' },
    { n: 2, category: 'howto' },
  ])
  expect(outcomes[0]).toMatchObject({ id: batch[0]?.id, vectors: batch[0]?.vectors })
})

it('embeds a text itself, embeds the labels once, and tells the score', async () => {
  const processor = await makeWith(embedder, classify, { text: 'value.text', labels, scoreAs: 'score' })
  const [first] = summary(await run(processor, events({ text: texts[0] ?? '' })))
  const before = embedder.stats().computed
  const [second] = summary(await run(processor, events({ text: labels.outage })))
  expect(first).toMatchObject({ label: 'billing' })
  expect(second).toEqual({ text: labels.outage, label: 'outage', score: expect.closeTo(1, 5) })
  expect(embedder.stats().computed).toBe(before)
})

it('falls back to the other label, or to null, where nothing is near', async () => {
  const batch = () => events({ text: 'The cat sat on the mat' }, { text: 'Please refund the payment' })
  const withOther = await makeWith(embedder, classify, { text: 'value.text', labels, minScore: 0.5, otherwise: 'none' })
  expect(summary(await run(withOther, batch()))).toMatchObject([{ label: 'none' }, { label: 'billing' }])
  const without = await makeWith(embedder, classify, { text: 'value.text', labels, minScore: 0.5 })
  expect(summary(await run(without, batch()))).toMatchObject([{ label: null }, { label: 'billing' }])
})

it('fails events that it cannot compare or change', async () => {
  const [meaning] = await embedder.embed(['a text'])
  if (meaning === undefined) throw new Error('no vector')
  const processor = await makeWith(embedder, classify, { vector: 'meaning', labels })
  const outcomes = await run(processor, [
    event({}, { vectors: noVectors }),
    event({}, { vectors: { meaning: new Float32Array(3) } }),
    event('a text', { vectors: { meaning } }),
    event({}, { vectors: { meaning } }),
  ])
  expect(summary(outcomes).slice(0, 3)).toEqual(['vector_missing', 'dimension_mismatch', 'value_not_object'])
  expect(summary(outcomes)[3]).toHaveProperty('label')
})

it.each([
  ['neither vector nor text', {}, 'give either'],
  ['both of them', { vector: 'a', text: 'b' }, 'give either'],
  ['no labels', { labels: {}, vector: 'a' }, 'at least one label'],
  ['a fallback that is never used', { vector: 'a', otherwise: 'x' }, 'never comes to pass'],
])('refuses options with %s', (_name, given, message) => {
  const options = { labels, ...given }
  expect(() => classify.options.parse(options)).toThrow(message)
})

it('names its vector, its text and its fields for lint', () => {
  const shape = { fields: new Set(['a']), vectors: new Set(['v']) }
  expect(classify.shape({ labels, vector: 'v', scoreAs: 's' }, shape).fields).toEqual(new Set(['a', 'label', 's']))
  expect(classify.references({ labels, vector: 'v' })).toEqual([{ kind: 'vector', path: ['vector'], name: 'v' }])
})
