import { z } from 'zod'
import { defineProcessor, type Failure, type Outcome } from '../core/component.ts'
import { type Event, isJsonObject, isTombstone, type JsonObject } from '../core/event.ts'
import type { Expression } from '../core/expression.ts'
import { cutTexts, type Piece } from './cut-text.ts'
import { failed } from './outcome.ts'
import { type Cut, inPieces } from './pieces.ts'

const options = z
  .strictObject({
    text: z.string().describe('An expression for the text. An empty text makes no events.'),
    tokens: z
      .int()
      .min(8)
      .default(200)
      .describe("The most tokens in a piece, as the embedder's tokenizer counts them."),
    overlap: z
      .int()
      .min(0)
      .default(0)
      .describe('The most tokens that a piece repeats, in whole sentences, from the end of the one before it.'),
    as: z
      .string()
      .min(1)
      .default('text')
      .describe(
        "The field that takes the piece, beside the event's other fields. If `text` is just one of these fields, that " +
          'one is left out, so that the whole text is not repeated with every piece.',
      ),
  })
  .refine(({ tokens, overlap }) => overlap < tokens, {
    message: '"overlap" must be less than "tokens"',
    path: ['overlap'],
  })

/** Long text to events that each hold a piece of it. */
export const chunk = defineProcessor({
  kind: 'processor',
  name: 'chunk',
  summary: 'Cuts long text into pieces of at most so many tokens, at headings, paragraphs and sentences.',
  example: 'chunk: { text: value.body, tokens: 200 }',
  main: 'text',
  options,
  references: ({ text }) => [{ kind: 'expression', path: ['text'], text, returns: 'string' }],
  shape({ text, as }, input) {
    if (input.fields === undefined) return input
    const kept = [...input.fields].filter((name) => name !== wholeField(text))
    return { ...input, fields: new Set([...kept, as, 'chunk', 'chunks', 'heading']) }
  },
  async create({ text, tokens, overlap, as }, { expressions, services }) {
    const textOf = expressions.compile(text, 'string')
    const embedder = await services.embedder()
    const count = (texts: readonly string[]) => embedder.countTokens(texts)
    return {
      stateful: true,
      tombstones: true,
      async process(batch, { state }) {
        const texts = batch.map((event) => (isTombstone(event) ? '' : textOrFailure(event, textOf)))
        const given = texts.map((text) => (typeof text === 'string' ? text : ''))
        const pieces = await cutTexts(given, { tokens, overlap }, count)
        const cuts = batch.map((event, index): Cut => {
          const cut = texts[index]
          if (cut !== undefined && typeof cut !== 'string') return cut
          return valuesOf(fieldsBeside(event, text), pieces[index] ?? [], as)
        })
        const outcomes = await inPieces(batch, cuts, state)
        return outcomes.map((outcome, index) => numberKeys(batch[index], outcome))
      },
    }
  },
})

function textOrFailure(event: Event, textOf: Expression<string>): string | Failure {
  try {
    return textOf(event)
  } catch (error) {
    return failed(error)
  }
}

function valuesOf(fields: JsonObject, pieces: readonly Piece[], as: string): JsonObject[] {
  return pieces.map(({ text, heading }, chunk) => ({ ...fields, [as]: text, chunk, chunks: pieces.length, heading }))
}

function fieldsBeside(event: Event, text: string): JsonObject {
  if (!isJsonObject(event.value)) return {}
  const { [wholeField(text) ?? '']: _whole, ...rest } = event.value
  return rest
}

/** The field that an expression merely names: `body` for `value.body`. */
function wholeField(expression: string): string | undefined {
  return /^\s*value\.([A-Za-z_]\w*)\s*$/.exec(expression)?.[1]
}

/** Pieces get keys of their own, so that a compacted topic keeps them all: `<key>#<n>`. */
function numberKeys(event: Event | undefined, outcome: Outcome): Outcome {
  if (event === undefined || event.key === null || !isPieces(outcome)) return outcome
  return outcome.map((piece) => ({ ...piece, key: `${event.key}${piece.id.slice(event.id.length)}` }))
}

function isPieces(outcome: Outcome): outcome is readonly Event[] {
  return Array.isArray(outcome)
}
