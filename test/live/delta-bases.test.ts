import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Json } from '../../src/core/event.ts'
import { ChannelEvent, Matched } from '../../src/live/channel-event.ts'
import { DeltaBases, SharedBudget } from '../../src/live/delta-bases.ts'

const unbounded = () => new SharedBudget(Number.POSITIVE_INFINITY)

function matched(offset: number, key: string | null, value: Json): Matched {
  const event = { offset, id: `e${offset}`, key, value, timestamp: 1, appended: 1 }
  return new Matched(new ChannelEvent('c', event), undefined)
}

/** Keeps the last value of so many keys, as the protocol asks of it. */
class Keeper {
  readonly values = new Map<string, { offset: number; value: Json }>()
  readonly #keys: number

  constructor(keys: number) {
    this.#keys = keys
  }

  keep({ source: { event } }: Matched): void {
    if (event.key === null) return
    this.values.delete(event.key)
    this.values.set(event.key, { offset: event.offset, value: event.value })
    const [oldest] = this.values.keys()
    if (this.values.size > this.#keys && oldest !== undefined) this.values.delete(oldest)
  }
}

const key = fc.constantFrom(null, 'a', 'b', 'c', 'd', 'e', 'f')
const value = fc.constantFrom<Json>(null, 1, { n: 1 }, { n: 2, text: 'something long' })
const batches = fc.array(fc.array(fc.tuple(key, value), { minLength: 1, maxLength: 8 }), { maxLength: 20 })
const bounds = fc.record({ keys: fc.integer({ min: 1, max: 5 }), budget: fc.constantFrom(50, 200, 10_000) })

test('a client that keeps as many keys has every base', () => {
  fc.assert(
    fc.property(batches, bounds, (events, { keys, budget }) => {
      const bases = new DeltaBases(new SharedBudget(budget), keys)
      const client = new Keeper(keys)
      let offset = 0
      for (const batch of events) {
        const sent = batch.map(([key, value]) => matched(offset++, key, value))
        bases.advance(sent)
        for (const event of sent) {
          const known = event.source.event.key === null ? undefined : client.values.get(event.source.event.key)
          if (event.base) expect(event.base).toMatchObject(known ?? { offset: 'not there' })
          client.keep(event)
        }
      }
    }),
  )
})

test('the base of an event is the one before it of its key, within a batch as well', () => {
  const bases = new DeltaBases(unbounded())
  const sent = [matched(0, 'a', { n: 0 }), matched(1, 'b', { n: 1 }), matched(2, 'a', { n: 2 }), matched(3, null, 3)]
  bases.advance(sent)
  const more = [matched(4, 'a', { n: 4 }), matched(5, 'b', null), matched(6, 'b', { n: 6 })]
  bases.advance(more)
  expect([...sent, ...more].map(({ base }) => base?.offset)).toEqual([undefined, undefined, 0, undefined, 2, 1, 5])
})

test('bases beyond their share of the budget go, those that have not changed for longest first', () => {
  const { bytes } = matched(10, 'a', { n: 1 })
  const budget = new SharedBudget(bytes * 4.5)
  const [one, other] = [new DeltaBases(budget), new DeltaBases(budget)]
  const basesOf = (bases: DeltaBases) => {
    bases.advance(['a', 'b', 'c'].map((key, index) => matched(10 + index, key, { n: 1 })))
    const next = ['c', 'b', 'a'].map((key, index) => matched(20 + index, key, { n: 1 }))
    bases.advance(next)
    return next.map(({ base }) => base?.offset)
  }
  expect(basesOf(one)).toEqual([12, 11, undefined])
  other.release()
  expect(basesOf(one)).toEqual([12, 11, 10])
})
