import { z } from 'zod'
import { defineProcessor, type Failure, type Outcome } from '../core/component.ts'
import { type Event, isJsonObject } from '../core/event.ts'
import { duration } from '../core/units.ts'
import { withValue } from './outcome.ts'
import { eitherOr, meaningOptions, meaningReferences, meaningsOf } from './texts.ts'
import { VectorMemories, type VectorMemory } from './vector-memory.ts'

/**
 * A meaning this near to a remembered one is not remembered beside it, but refreshes it: what comes again and again is
 * remembered once, and takes no room from what is rare. The older vector stays, so that many small steps make no long way.
 */
const repetition = 0.99

/** Tells how unlike everything before it an event is. */
export const novelty = defineProcessor({
  kind: 'processor',
  name: 'novelty',
  summary: 'Sets a field to how far, in meaning, an event is from everything that was seen before it.',
  example: 'novelty: { vector: meaning, as: novelty, last: 10000 }',
  options: z
    .strictObject({
      ...meaningOptions,
      as: z
        .string()
        .min(1)
        .default('novelty')
        .describe(
          'The field that takes the distance to the nearest: 1 less the cosine similarity. 0 for what was seen before, ' +
            'about 1 for what is unlike anything, 1 for the first.',
        ),
      last: z
        .int()
        .min(1)
        .max(100_000)
        .default(10_000)
        .describe(
          'How many different events are remembered per partition. One takes up to 8 bytes of memory and 5.4 bytes of ' +
            'state for each dimension.',
        ),
      window: duration()
        .optional()
        .describe('How far apart, by their timestamps, events are compared. Left out: any distance.'),
    })
    .refine(...eitherOr),
  references: (options) => meaningReferences(options),
  shape: ({ as }, input) => (input.fields === undefined ? input : { ...input, fields: new Set([...input.fields, as]) }),
  async create(options, context) {
    const { as, last, window } = options
    const embedder = await context.services.embedder()
    const meanings = meaningsOf(options, embedder, context)
    const { fingerprint: model, dimension } = embedder
    const memories = new VectorMemories({ model, dimension, last, window, counted: false })
    return {
      stateful: true,
      async process(batch, { state, signal }) {
        const found = await meanings(batch, signal)
        return memories.use(state, (memory) => scored(batch, found, memory, as, context.component))
      },
    }
  },
})

async function scored(
  batch: readonly Event[],
  meanings: readonly (Float32Array | Failure)[],
  memory: VectorMemory,
  as: string,
  component: string,
): Promise<Outcome[]> {
  const message = `${component}: the value is no object, so it cannot take the field "${as}". Use "map" before it.`
  const vectors = batch.map(({ value }, index) => {
    const meaning = meanings[index]
    return meaning instanceof Float32Array && isJsonObject(value) ? meaning : undefined
  })
  const outcomes: Outcome[] = []
  await memory.inTurn(vectors, (index, lookUp) => {
    const event = batch[index]
    const vector = vectors[index]
    if (event === undefined) return
    const { value, timestamp, position } = event
    if (vector === undefined || !isJsonObject(value)) {
      const meaning = meanings[index]
      const failure: Failure = { failed: true, code: 'value_not_object', message }
      outcomes.push(meaning !== undefined && 'failed' in meaning ? meaning : failure)
      return
    }
    const near = lookUp(timestamp, Number.NEGATIVE_INFINITY)
    if (near !== undefined && near.score >= repetition) memory.refresh(near.row, timestamp, position.offset)
    else memory.remember({ vector, timestamp, offset: position.offset })
    outcomes.push(withValue(event, { ...value, [as]: near === undefined ? 1 : Math.max(0, 1 - near.score) }))
  })
  return outcomes
}
