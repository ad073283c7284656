import { z } from 'zod'
import { defineProcessor } from '../core/component.ts'
import { eachEvent } from './outcome.ts'

/** Keeps the events for which a condition holds. */
export const filter = defineProcessor({
  kind: 'processor',
  name: 'filter',
  summary: 'Keeps the events for which a condition holds and drops the others.',
  example: 'filter: has(value.body) && size(value.body) > 0',
  main: 'condition',
  options: z.strictObject({
    condition: z
      .string()
      .describe(
        'An expression that is true for the events to keep. An event it cannot be computed for is dead-lettered.',
      ),
  }),
  references: ({ condition }) => [{ kind: 'expression', path: ['condition'], text: condition, returns: 'bool' }],
  create({ condition }, { expressions }) {
    const keeps = expressions.compile(condition, 'bool')
    return { process: (batch) => eachEvent(batch, (event) => (keeps(event) ? event : null)) }
  },
})
