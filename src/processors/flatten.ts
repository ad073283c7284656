import { z } from 'zod'
import { defineProcessor } from '../core/component.ts'
import { MillraceError } from '../core/errors.ts'
import { type Event, isJsonObject, isTombstone, type Json } from '../core/event.ts'
import { failed } from './outcome.ts'
import { type Cut, inPieces } from './pieces.ts'

/** One event to many: one for each item of a list. */
export const flatten = defineProcessor({
  kind: 'processor',
  name: 'flatten',
  summary: 'Makes one event for each item of a list.',
  example: `flatten: { list: value.items, as: item }`,
  main: 'list',
  options: z.strictObject({
    list: z.string().describe('An expression for the list. An empty one drops the event.'),
    as: z
      .string()
      .min(1)
      .optional()
      .describe(
        "The field that takes the item, beside the event's other fields. Left out: the item is the whole value.",
      ),
  }),
  references: ({ list }) => [{ kind: 'expression', path: ['list'], text: list, returns: 'list' }],
  shape: ({ as }, input) => ({
    ...input,
    fields: as === undefined || input.fields === undefined ? undefined : new Set([...input.fields, as]),
  }),
  create({ list, as }, { expressions }) {
    const itemsOf = expressions.compile(list, 'list')
    const cut = (event: Event): Cut => {
      if (isTombstone(event)) return []
      try {
        return itemsOf(event).map((item) => itemValue(event, item, as))
      } catch (error) {
        return failed(error)
      }
    }
    return {
      stateful: true,
      tombstones: true,
      process: (batch, { state }) => inPieces(batch, batch.map(cut), state),
    }
  },
})

function itemValue(event: Event, item: Json, as: string | undefined): Json {
  if (as !== undefined) return { ...(isJsonObject(event.value) ? event.value : {}), [as]: item }
  if (item !== null) return item
  throw new MillraceError({
    code: 'null_item',
    message: 'flatten: an item is null, which cannot be the value of an event. Name a field for the items with "as".',
  })
}
