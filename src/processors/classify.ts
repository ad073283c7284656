import { z } from 'zod'
import { defineProcessor, type Failure, type Outcome } from '../core/component.ts'
import type { Embedder } from '../core/embedder.ts'
import { type Event, isJsonObject } from '../core/event.ts'
import { withValue } from './outcome.ts'
import { textsOf, vectorsOf } from './texts.ts'

const options = z
  .strictObject({
    vector: z.string().min(1).optional().describe('The vector to compare, made by an `embed` before.'),
    text: z.string().optional().describe('In place of `vector`: an expression for a text, which is embedded here.'),
    as: z.string().min(1).default('label').describe('The field that takes the name of the nearest label.'),
    labels: z
      .record(z.string().min(1), z.string().min(1))
      .refine((labels) => Object.keys(labels).length > 0, 'name at least one label')
      .describe(
        'Each label with the words that describe it. The words are embedded and compared, so put them as such an event ' +
          'would: `how do I do this` finds more questions than `a question about usage`.',
      ),
    minScore: z
      .number()
      .min(-1)
      .max(1)
      .optional()
      .describe('The least cosine similarity for a label to count. Left out: the nearest always counts.'),
    otherwise: z.string().optional().describe('The label where none reaches `minScore`; null when left out.'),
    scoreAs: z.string().min(1).optional().describe('A field that takes the similarity to the nearest label, -1 to 1.'),
  })
  .refine(({ vector, text }) => (vector === undefined) !== (text === undefined), 'give either "vector" or "text"')
  .refine(({ otherwise, minScore }) => otherwise === undefined || minScore !== undefined, {
    message: '"otherwise" never comes to pass without "minScore"',
    path: ['otherwise'],
  })

type Options = z.infer<typeof options>

/** Sets a field to the label whose description is nearest in meaning. */
export const classify = defineProcessor({
  kind: 'processor',
  name: 'classify',
  summary: 'Sets a field to the label, described in words, that is nearest in meaning.',
  example: `classify:
  vector: meaning
  as: category
  labels:
    billing: invoices, payments, charges and refunds
    outage: the service is down or shows errors
    howto: how do I do this, where do I find it`,
  options,
  references: ({ vector, text }) => [
    ...(vector === undefined ? [] : [{ kind: 'vector', path: ['vector'], name: vector } as const]),
    ...(text === undefined ? [] : [{ kind: 'expression', path: ['text'], text, returns: 'string' } as const]),
  ],
  shape({ as, scoreAs }, input) {
    if (input.fields === undefined) return input
    return { ...input, fields: new Set([...input.fields, as, ...(scoreAs === undefined ? [] : [scoreAs])]) }
  },
  async create(options, { expressions, services, component }) {
    const embedder = await services.embedder()
    const labels = new Labels(options.labels, embedder)
    const textOf = options.text === undefined ? undefined : expressions.compile(options.text, 'string')
    return {
      async process(batch, { signal }) {
        const vectors =
          textOf === undefined
            ? batch.map((event) => vectorNamed(event, options.vector ?? '', embedder.dimension, component))
            : await vectorsOf(textsOf(batch, textOf, component), embedder, signal)
        const compare = await labels.ready()
        return batch.map((event, index) => classified(event, vectors[index], compare, options, component))
      },
    }
  },
})

interface Nearest {
  readonly label: string
  readonly score: number
}
type Compare = (vector: Float32Array) => Nearest

/** The labels' vectors, computed once. */
class Labels {
  readonly #names: readonly string[]
  readonly #words: readonly string[]
  readonly #embedder: Embedder
  #compare: Promise<Compare> | undefined

  constructor(labels: Readonly<Record<string, string>>, embedder: Embedder) {
    this.#names = Object.keys(labels)
    this.#words = Object.values(labels)
    this.#embedder = embedder
    // Begun early so that the first event need not wait for it; its failure is for the first event to meet.
    this.ready().catch(() => {})
  }

  /** After a failure the next call tries again. */
  ready(): Promise<Compare> {
    this.#compare ??= this.#embed().catch((error: unknown) => {
      this.#compare = undefined
      throw error
    })
    return this.#compare
  }

  async #embed(): Promise<Compare> {
    const vectors = await this.#embedder.embed(this.#words, { priority: 'query' })
    return (vector) => nearest(vector, vectors, this.#names)
  }
}

/** Label vectors have length 1; the event's vector need not. Of equally near labels the first counts. */
function nearest(vector: Float32Array, labels: readonly Float32Array[], names: readonly string[]): Nearest {
  const length = Math.sqrt(dot(vector, vector)) || 1
  let best: Nearest = { label: '', score: Number.NEGATIVE_INFINITY }
  for (const [index, label] of labels.entries()) {
    const score = dot(vector, label) / length
    if (score > best.score) best = { label: names[index] ?? '', score }
  }
  return best
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) * (b[i] ?? 0)
  return sum
}

function vectorNamed(event: Event, name: string, dimension: number, component: string): Float32Array | Failure {
  const vector = event.vectors[name]
  if (vector === undefined) {
    const message = `${component}: the event has no vector "${name}". Put an "embed" with "as: ${name}" before it.`
    return { failed: true, code: 'vector_missing', message }
  }
  if (vector.length === dimension) return vector
  const message = `${component}: the vector "${name}" has ${vector.length} dimensions, the labels have ${dimension}.`
  return { failed: true, code: 'dimension_mismatch', message }
}

function classified(
  event: Event,
  vector: Float32Array | Failure | undefined,
  compare: Compare,
  { as, minScore, otherwise, scoreAs }: Options,
  component: string,
): Outcome {
  if (vector === undefined) throw new Error('there are fewer vectors than events')
  if ('failed' in vector) return vector
  if (!isJsonObject(event.value)) {
    const message = `${component}: the value is no object, so it cannot take the field "${as}". Use "map" before it.`
    return { failed: true, code: 'value_not_object', message }
  }
  const { label, score } = compare(vector)
  const counts = minScore === undefined || score >= minScore
  const fields = { [as]: counts ? label : (otherwise ?? null), ...(scoreAs === undefined ? {} : { [scoreAs]: score }) }
  return withValue(event, { ...event.value, ...fields })
}
