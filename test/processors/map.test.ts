import { expect, it } from 'vitest'
import { z } from 'zod'
import { map } from '../../src/processors/map.ts'
import { event, events, process, summary } from './support.ts'

const input = { fields: new Set(['a', 'b']), vectors: new Set(['meaning']) }

it('builds the value from expressions, constants, objects and lists', async () => {
  const options = {
    name: 'value.a.upper()',
    version: 2,
    nested: { first: 'value.b[0]', list: ['value.a', true, null, { deep: 'key' }] },
  }
  const outcomes = await process(map, options, [event({ a: 'x', b: [1] }, { key: 'k' })])
  expect(summary(outcomes)).toEqual([
    { name: 'X', version: 2, nested: { first: 1, list: ['x', true, null, { deep: 'k' }] } },
  ])
})

it('leaves everything but the value as it was', async () => {
  const vectors = { meaning: new Float32Array([1]) }
  const [outcome] = await process(map, { a: '1' }, [event({}, { key: 'k', headers: { h: 'x' }, vectors })])
  expect(outcome).toEqual(event({ a: 1 }, { key: 'k', headers: { h: 'x' }, vectors }))
})

it('takes over fields with "...", in order', async () => {
  const batch = events({ a: 1, b: 2 })
  expect(summary(await process(map, { '...': 'value', b: 'value.b + 1', c: '3' }, batch))).toEqual([
    { a: 1, b: 3, c: 3 },
  ])
  expect(summary(await process(map, { b: '7', '...': 'value' }, batch))).toEqual([{ a: 1, b: 2 }])
  const [hostile] = await process(map, { '...': 'value' }, events(JSON.parse('{"__proto__": {"x": 1}}')))
  expect(JSON.stringify(summary(hostile === undefined ? [] : [hostile]))).toBe('[{"__proto__":{"x":1}}]')
})

it('fails the event that an expression does not fit, and no other', async () => {
  const outcomes = await process(map, { '...': 'value', n: 'value.n * 2' }, events({ n: 1 }, {}, [1], { n: 2 }))
  expect(summary(outcomes)).toEqual([{ n: 2 }, 'expression_failed', 'expression_failed', { n: 4 }])
})

it('names its expressions with the path to each', () => {
  expect(map.references({ a: 'value.x', b: { c: ['key', 1] } })).toEqual([
    { kind: 'expression', path: ['a'], text: 'value.x', returns: 'any' },
    { kind: 'expression', path: ['b', 'c', 0], text: 'key', returns: 'any' },
  ])
})

it('says which fields there are afterwards', () => {
  expect(map.shape({ x: '1', y: '2' }, input)).toEqual({ ...input, fields: new Set(['x', 'y']) })
  expect(map.shape({ '...': 'value', y: '2' }, input)).toEqual({ ...input, fields: new Set(['a', 'b', 'y']) })
  expect(map.shape({ '...': 'value.a', y: '2' }, input).fields).toBeUndefined()
})

it('has options that an editor can check', () => {
  expect(map.options.safeParse({}).success).toBe(false)
  expect(z.toJSONSchema(map.options)).toMatchObject({ type: 'object' })
})
