import { hash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Embedder, EmbedOptions } from '../../src/core/embedder.ts'
import { Retryable } from '../../src/core/errors.ts'
import { noVectors } from '../../src/core/event.ts'
import type { CachingEmbedder } from '../../src/embedding/embedder.ts'
import { classify } from '../../src/processors/classify.ts'
import { makeWith, openEmbedder, run } from './embedder.ts'
import { CommittedState, event, events, summary } from './support.ts'

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

it('takes the best of several descriptions of a label', async () => {
  const several = { ...labels, outage: ['nobody can connect', labels.outage, 'it is slow'] }
  const processor = await makeWith(embedder, classify, { text: 'value.text', labels: several, scoreAs: 'score' })
  const outcomes = summary(await run(processor, events(...several.outage.map((text) => ({ text })))))
  expect(outcomes).toEqual(several.outage.map((text) => ({ text, label: 'outage', score: expect.closeTo(1, 5) })))
})

describe('with ten thousand labels', () => {
  const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`label ${index}`, `words ${index}`]))

  it('embeds them as queries, in parts and as bulk work, once for all batches', async () => {
    const fake = new FakeEmbedder()
    const processor = await makeWith(fake, classify, { text: 'value.text', labels: many, scoreAs: 'score' })
    const texts = Array.from({ length: 50 }, (_, index) => ({ text: `words ${index * 199}` }))
    const outcomes = await Promise.all([run(processor, events(...texts)), run(processor, events({ text: 'words 7' }))])
    expect(outcomes.map(summary)).toEqual([
      texts.map(({ text }, index) => ({ text, label: `label ${index * 199}`, score: expect.closeTo(1, 5) })),
      [{ text: 'words 7', label: 'label 7', score: expect.closeTo(1, 5) }],
    ])
    const forLabels = fake.calls.filter(({ options }) => options.purpose === 'query')
    expect(forLabels.reduce((sum, { texts: { length } }) => sum + length, 0)).toBe(10_000)
    expect(forLabels.every(({ texts: { length }, options }) => length <= 256 && options.priority === 'bulk')).toBe(true)
  })

  it('gives up waiting for them when the lane is ended', async () => {
    const fake = new FakeEmbedder()
    fake.held = new Promise(() => undefined)
    const vectors = { meaning: await fake.vectorOf('words 1') }
    const processor = await makeWith(fake, classify, { vector: 'meaning', labels: many })
    const caller = new AbortController()
    const waiting = processor.process([event({}, { vectors })], { state: new CommittedState(), signal: caller.signal })
    caller.abort(new Error('revoked'))
    await expect(waiting).rejects.toThrow('revoked')
  })
})

it('asks again for labels that could not be embedded', async () => {
  const fake = new FakeEmbedder()
  fake.held = Promise.reject(new Retryable({ code: 'embedder_down', message: 'not yet' }))
  const processor = await makeWith(fake, classify, { vector: 'meaning', labels })
  const batch = [event({}, { vectors: { meaning: await fake.vectorOf(labels.howto) } })]
  await expect(run(processor, batch)).rejects.toThrow('not yet')
  fake.held = Promise.resolve()
  expect(summary(await run(processor, batch))).toEqual([{ label: 'howto' }])
  expect(fake.calls.at(-1)?.options).toMatchObject({ priority: 'query', purpose: 'query' })
})

it.each([
  ['neither vector nor text', {}, 'give either'],
  ['both of them', { vector: 'a', text: 'b' }, 'give either'],
  ['no labels', { labels: {}, vector: 'a' }, 'at least one label'],
  ['a fallback that is never used', { vector: 'a', otherwise: 'x' }, 'never comes to pass'],
  ['a field twice', { vector: 'a', scoreAs: 'label' }, 'already'],
  ['a label without words', { vector: 'a', labels: { a: ' ' } }, 'describe the label in words'],
  ['a label without descriptions', { vector: 'a', labels: { a: [] } }, '>=1 items'],
  [
    'a label twice under other names',
    { vector: 'a', labels: { a: 'x', b: ['y', 'x'] } },
    '\\"a\\" is described in the same',
  ],
])('refuses options with %s', (_name, given, message) => {
  const options = { labels, ...given }
  expect(() => classify.options.parse(options)).toThrow(message)
})

it('names its vector, its text and its fields for lint', () => {
  const shape = { fields: new Set(['a']), vectors: new Set(['v']) }
  expect(classify.shape({ labels, vector: 'v', scoreAs: 's' }, shape).fields).toEqual(new Set(['a', 'label', 's']))
  expect(classify.references({ labels, vector: 'v' })).toEqual([{ kind: 'vector', path: ['vector'], name: 'v' }])
})

/** Stands for a model where ten thousand texts would take too long: every text has a direction of its own. */
class FakeEmbedder implements Embedder {
  readonly model = 'fake'
  readonly fingerprint = 'fake'
  readonly prefixes = { query: '', passage: '' }
  readonly dimension = 64
  readonly maxTokens = 256
  readonly calls: { readonly texts: readonly string[]; readonly options: EmbedOptions }[] = []
  /** What every call waits for. */
  held: Promise<void> = Promise.resolve()

  async embed(texts: readonly string[], options: EmbedOptions = {}): Promise<Float32Array[]> {
    this.calls.push({ texts, options })
    await this.held
    return Promise.all(texts.map((text) => this.vectorOf(text)))
  }

  async vectorOf(text: string): Promise<Float32Array> {
    const bytes = Buffer.from(hash('sha512', text, 'hex'), 'hex')
    const vector = Float32Array.from(bytes, (byte) => byte - 127.5)
    const length = Math.hypot(...vector)
    return vector.map((value) => value / length)
  }

  async countTokens(texts: readonly string[]): Promise<number[]> {
    return texts.map(() => 1)
  }

  async close(): Promise<void> {}
}
