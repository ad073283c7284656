import { z } from 'zod'
import { defineProcessor, type Failure } from '../core/component.ts'
import type { Event } from '../core/event.ts'
import { textsOf, vectorsOf } from './texts.ts'

/** Adds the vector of a text to each event. */
export const embed = defineProcessor({
  kind: 'processor',
  name: 'embed',
  summary: 'Computes the embedding of a text, with the model of the runtime.',
  example: `embed: { text: 'value.subject + "\\n" + value.body', as: meaning }`,
  main: 'text',
  options: z.strictObject({
    text: z
      .string()
      .describe(
        'An expression for the text. An event whose text is empty or blank has no meaning to embed and is ' +
          'dead-lettered: filter such events out before. What is beyond the limit of the model (256 tokens for the default one) is not seen.',
      ),
    as: z.string().min(1).default('vector').describe('The name of the vector, which travels beside the value.'),
  }),
  references: ({ text }) => [{ kind: 'expression', path: ['text'], text, returns: 'string' }],
  shape: ({ as }, input) => ({ ...input, vectors: new Set([...input.vectors, as]) }),
  async create({ text, as }, { expressions, services, component }) {
    const textOf = expressions.compile(text, 'string')
    const embedder = await services.embedder()
    return {
      async process(batch, { signal }) {
        const vectors = await vectorsOf(textsOf(batch, textOf, component), embedder, signal)
        return batch.map((event, index) => withVector(event, as, vectors[index]))
      },
    }
  },
})

function withVector(event: Event, name: string, vector: Float32Array | Failure | undefined): Event | Failure {
  if (vector === undefined) throw new Error('the embedder answered fewer vectors than it was given texts')
  return 'failed' in vector ? vector : { ...event, vectors: { ...event.vectors, [name]: vector } }
}
