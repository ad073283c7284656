import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Event } from '../../src/core/event.ts'
import { inPieces } from '../../src/processors/pieces.ts'
import { CommittedState, event } from './support.ts'

/** What a sink that upserts by id and deletes on tombstones would hold. */
function apply(store: Map<string, unknown>, outcomes: Awaited<ReturnType<typeof inPieces>>): void {
  for (const outcome of outcomes) {
    if (outcome === null || 'failed' in outcome) continue
    for (const { id, value } of 'value' in outcome ? [outcome] : outcome) {
      if (value === null) store.delete(id)
      else store.set(id, value)
    }
  }
}

it('leaves exactly the pieces of the newest version of each event, however it is batched', async () => {
  const step = fc.record({ id: fc.constantFrom('a', 'b', 'c'), size: fc.nat({ max: 4 }), gone: fc.boolean() })
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(step, { maxLength: 4 }), { maxLength: 6 }), async (batches) => {
      const state = new CommittedState()
      const store = new Map<string, unknown>()
      const expected = new Map<string, number[]>()
      let offset = 0
      for (const batch of batches) {
        const events: Event[] = []
        const cuts: number[][] = []
        for (const { id, size, gone } of batch) {
          const items = gone ? [] : Array.from({ length: size }, (_, n) => offset * 10 + n)
          const position = { topic: 't', partition: 0, offset }
          events.push(event(gone ? null : {}, { id, position }))
          cuts.push(items)
          expected.set(id, items)
          offset++
        }
        apply(store, await inPieces(events, cuts, state))
      }
      const wanted = [...expected].flatMap(([id, items]) => items.map((value, n) => [`${id}#${n}`, value]))
      expect(new Map(store)).toEqual(new Map(wanted as [string, number][]))
      const counted = [...expected].filter(([, items]) => items.length > 0).map(([id, items]) => [id, items.length])
      expect(Object.fromEntries(state.entries)).toEqual(Object.fromEntries(counted))
    }),
  )
})

it('remembers nothing of events that are named by their position', async () => {
  const state = new CommittedState()
  const nested = event({}, { id: 't/0/0#3' })
  const outcomes = await inPieces([event({}), nested, event(null)], [['x', 'y'], ['z'], []], state)
  expect(outcomes).toEqual([
    [event('x', { id: 't/0/0#0' }), event('y', { id: 't/0/0#1' })],
    [event('z', { id: 't/0/0#3#0' })],
    event(null),
  ])
  expect(state.entries.size).toBe(0)
})

it('keeps the pieces there are when an event cannot be cut', async () => {
  const state = new CommittedState()
  await inPieces([event({}, { id: 'a' })], [['x', 'y']], state)
  const failure = { failed: true, code: 'bad', message: 'no' } as const
  expect(await inPieces([event({}, { id: 'a' })], [failure], state)).toEqual([failure])
  expect(state.entries.get('a')).toBe(2)
})
