import { expect, it } from 'vitest'
import { filter } from '../../src/processors/filter.ts'
import { event, events, process, summary } from './support.ts'

it('keeps the events for which the condition holds, untouched', async () => {
  const batch = events({ body: 'x' }, { body: '' }, {}, { body: 'yz' })
  const outcomes = await process(filter, { condition: 'has(value.body) && size(value.body) > 0' }, batch)
  expect(outcomes).toEqual([batch[0], null, null, batch[3]])
  expect(outcomes[0]).toBe(batch[0])
})

it('fails the event that the condition does not fit, and no other', async () => {
  const outcomes = await process(filter, { condition: 'value.n > 1' }, events({ n: 2 }, {}, { n: 'x' }, { n: 0 }))
  expect(summary(outcomes)).toEqual([{ n: 2 }, 'expression_failed', 'expression_failed', null])
  expect(outcomes[1]).toMatchObject({ message: expect.stringContaining('value has no field "n"') as unknown })
})

it('sees key, headers, time and position', async () => {
  const condition = 'key == "k" && headers.a == "b" && timestamp > 0 && topic == "t" && partition == 0 && offset == 7'
  const position = { topic: 't', partition: 0, offset: 7 }
  const outcomes = await process(filter, { condition }, [event({}, { key: 'k', headers: { a: 'b' }, position })])
  expect(summary(outcomes)).toEqual([{}])
})

it('names its expression, refuses a wrong one, and knows its main option', async () => {
  expect(filter.references({ condition: 'value.n' })).toEqual([
    { kind: 'expression', path: ['condition'], text: 'value.n', returns: 'bool' },
  ])
  await expect(process(filter, { condition: 'value.n +' }, [])).rejects.toMatchObject({ code: 'invalid_expression' })
  expect(filter.main).toBe('condition')
  expect(filter.options.safeParse({ condition: 'true', conditoin: 1 }).success).toBe(false)
})
