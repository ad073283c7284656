import { expect, it } from 'vitest'
import { flatten } from '../../src/processors/flatten.ts'
import { CommittedState, event, events, process, summary } from './support.ts'

it('makes one event of each item', async () => {
  const [outcome] = await process(flatten, { list: 'value.items' }, [event({ items: [1, { a: 2 }] }, { key: 'k' })])
  expect(outcome).toEqual([event(1, { id: 't/0/0#0', key: 'k' }), event({ a: 2 }, { id: 't/0/0#1', key: 'k' })])
})

it('puts the item beside the other fields', async () => {
  const outcomes = await process(flatten, { list: 'value.items', as: 'items' }, events({ n: 1, items: ['x', null] }))
  expect(summary(outcomes)).toEqual([
    [
      { n: 1, items: 'x' },
      { n: 1, items: null },
    ],
  ])
})

it('drops empty lists and fails what is no list, event by event', async () => {
  const batch = events({ items: [] }, { items: 3 }, {}, { items: [null] }, { items: ['y'] })
  expect(summary(await process(flatten, { list: 'value.items' }, batch))).toEqual([
    [],
    'expression_failed',
    'expression_failed',
    'null_item',
    ['y'],
  ])
})

it('takes back the surplus when an event comes again, shorter, or is deleted', async () => {
  const state = new CommittedState()
  const options = { list: 'value' }
  const named = (value: number[] | null, offset: number) =>
    event(value, { id: 'doc', position: { topic: 't', partition: 0, offset } })
  await process(flatten, options, [named([1, 2, 3], 0)], state)
  expect(summary(await process(flatten, options, [named([4], 1)], state))).toEqual([[4, null, null]])
  const [deletion] = await process(flatten, options, [named(null, 2)], state)
  expect(deletion).toMatchObject([{ id: 'doc#0', value: null }])
  expect(state.entries.size).toBe(0)
})

it('says what fields there are afterwards', () => {
  const input = { fields: new Set(['a']), vectors: new Set<string>() }
  expect(flatten.shape({ list: 'value.a', as: 'b' }, input).fields).toEqual(new Set(['a', 'b']))
  expect(flatten.shape({ list: 'value.a' }, input).fields).toBeUndefined()
  expect(flatten.references({ list: 'value.a' })).toMatchObject([{ path: ['list'], returns: 'list' }])
})
