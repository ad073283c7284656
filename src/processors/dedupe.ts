import { createHash } from 'node:crypto'
import { z } from 'zod'
import { defineProcessor, type Outcome } from '../core/component.ts'
import type { Event, Json } from '../core/event.ts'
import type { Expression } from '../core/expression.ts'
import type { LaneState } from '../core/state.ts'
import { duration } from '../core/units.ts'
import { eachEvent } from './outcome.ts'
import { SeenForEver, SeenWithin } from './seen.ts'

/** Keeps the first event of each kind and drops the ones that come after it. */
export const dedupe = defineProcessor({
  kind: 'processor',
  name: 'dedupe',
  summary: 'Keeps the first of the events that have the same key, and drops the others.',
  example: 'dedupe: { by: value.orderId, window: 10m }',
  main: 'by',
  options: z.strictObject({
    by: z
      .string()
      .default('key')
      .describe(
        'An expression; events for which it gives the same are the same. Where it gives null, the event passes.',
      ),
    window: duration()
      .optional()
      .describe(
        'How far apart, by their timestamps, two events may be and still be the same. Left out: any distance, and what ' +
          'has been seen is remembered for ever.',
      ),
  }),
  references: ({ by }) => [{ kind: 'expression', path: ['by'], text: by, returns: 'any' }],
  create({ by, window }, { expressions }) {
    const identify = expressions.compile(by, 'any')
    return {
      stateful: true,
      process: (batch, { state }) => keepFirst(batch, identify, state, window),
    }
  },
})

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

/** State keys must stay short, so long identities are told apart by their SHA-256. */
function stateName(identity: Json): string {
  const text = typeof identity === 'string' ? `t${identity}` : `j${JSON.stringify(identity)}`
  return text.length <= 64 ? text : `h${createHash('sha256').update(text).digest('base64url')}`
}
