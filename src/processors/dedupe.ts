import { z } from 'zod'
import { type ComponentContext, defineProcessor, type Outcome, type Processor } from '../core/component.ts'
import { type Event, isTombstone, type Json } from '../core/event.ts'
import type { Expression } from '../core/expression.ts'
import type { LaneState } from '../core/state.ts'
import { duration } from '../core/units.ts'
import { dropNearDuplicates } from './near-duplicates.ts'
import { eachEvent } from './outcome.ts'
import { SeenForEver, SeenWithin, stateName } from './seen.ts'
import { meaningOptions, meaningReferences, meaningsOf } from './texts.ts'
import { VectorMemories } from './vector-memory.ts'

const defaultMinScore = 0.85
const defaultLast = 10_000

const options = z
  .strictObject({
    by: z
      .string()
      .optional()
      .describe(
        'An expression; events for which it gives the same are the same. Where it gives null, the event passes. Left out, ' +
          'without `vector` and `text`: the key.',
      ),
    vector: meaningOptions.vector.describe(
      'In place of `by`: a vector, made by an `embed` before. Events with nearly the same meaning are the same.',
    ),
    text: meaningOptions.text,
    minScore: z
      .number()
      .min(0)
      .max(1)
      .optional()
      .describe(
        `Of meanings: the least cosine similarity to an event that passed, from which on one is its duplicate; ${defaultMinScore} when left out.`,
      ),
    window: duration()
      .optional()
      .describe(
        'How far apart, by their timestamps, two events may be and still be the same. Left out: any distance, and with `by`, ' +
          'what has been seen is remembered for ever.',
      ),
    last: z
      .int()
      .min(1)
      .max(100_000)
      .optional()
      .describe(
        `Of meanings: how many events that passed are remembered per partition; ${defaultLast} when left out. One takes up to ` +
          '8 bytes of memory and 5.4 bytes of state for each dimension.',
      ),
    countAs: z
      .string()
      .min(1)
      .optional()
      .describe(
        'Of meanings: a field that takes the number of duplicates. With each one, the event that passed goes out again ' +
          'under its own id, with the number so far and no vector but the one that is compared.',
      ),
  })
  .superRefine((given, context) => {
    const refuse = (option: string, message: string) => context.addIssue({ code: 'custom', path: [option], message })
    const meanings = (['vector', 'text'] as const).filter((option) => given[option] !== undefined)
    if (meanings.length === 2) refuse('text', 'give either "vector" or "text"')
    if (meanings.length > 0) {
      if (given.by !== undefined)
        refuse('by', `give either "by" or "${meanings[0]}": the same key, or the same meaning`)
      return
    }
    for (const option of ['minScore', 'last', 'countAs'] as const) {
      if (given[option] !== undefined) refuse(option, `"${option}" says nothing without "vector" or "text"`)
    }
  })

type Options = z.infer<typeof options>

/** Keeps the first event of each kind and drops the ones that come after it. */
export const dedupe = defineProcessor({
  kind: 'processor',
  name: 'dedupe',
  summary: 'Keeps the first of the events that have the same key, or nearly the same meaning, and drops the others.',
  example: 'dedupe: { by: value.orderId, window: 10m }',
  main: 'by',
  options,
  references: (given) =>
    byMeaning(given)
      ? meaningReferences(given)
      : [{ kind: 'expression', path: ['by'], text: given.by ?? 'key', returns: 'any' }],
  shape({ countAs, vector }, { fields, vectors }) {
    if (countAs === undefined) return { fields, vectors }
    // What goes out again has no other vector.
    const kept = [...vectors].filter((name) => name === vector)
    return { fields: fields && new Set([...fields, countAs]), vectors: new Set(kept) }
  },
  create: (given, context) => (byMeaning(given) ? sameMeaning(given, context) : sameKey(given, context)),
})

function byMeaning({ vector, text }: Options): boolean {
  return vector !== undefined || text !== undefined
}

function sameKey({ by = 'key', window }: Options, { expressions }: ComponentContext): Processor {
  const identify = expressions.compile(by, 'any')
  return {
    stateful: true,
    process: (batch, { state }) => keepFirst(batch, identify, state, window),
  }
}

async function sameMeaning(given: Options, context: ComponentContext): Promise<Processor> {
  const { minScore = defaultMinScore, last = defaultLast, window, countAs, vector } = given
  const { component, services } = context
  const embedder = await services.embedder()
  const meanings = meaningsOf(given, embedder, context)
  const { fingerprint: model, dimension } = embedder
  const memories = new VectorMemories({ model, dimension, last, window, counted: countAs !== undefined })
  return {
    stateful: true,
    tombstones: true,
    async process(batch, { state, signal }) {
      const values = batch.filter((event) => !isTombstone(event))
      const found = (await meanings(values, signal)).values()
      const beside = batch.map((event) => (isTombstone(event) ? undefined : found.next().value))
      return memories.use(state, (memory) =>
        dropNearDuplicates(batch, beside, memory, state, { minScore, countAs, vector, component }),
      )
    },
  }
}

async function keepFirst(
  batch: readonly Event[],
  identify: Expression<Json>,
  state: LaneState,
  window: number | undefined,
): Promise<Outcome[]> {
  const names = new Map<Event, string>()
  const identified = eachEvent(batch, (event) => {
    const identity = identify(event)
    if (identity !== null) names.set(event, stateName(identity))
    return event
  })
  const distinct = [...new Set(names.values())]
  const seen =
    window === undefined ? await SeenForEver.load(state, distinct) : await SeenWithin.load(state, distinct, window)
  return batch.map((event, index) => {
    const name = names.get(event)
    return name === undefined || seen.admits(name, event) ? (identified[index] ?? null) : null
  })
}
