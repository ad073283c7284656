import { describe, expect, test } from 'vitest'
import type { NamedQuery } from '../../src/core/named-query.ts'
import { type Principal, unrestricted } from '../../src/core/principal.ts'
import { Queries } from '../../src/queries/index.ts'
import { ScriptedAnalytics } from '../live/scripted-analytics.ts'

const sales: NamedQuery = {
  name: 'sales',
  sql: 'SELECT 1',
  params: {
    hours: { type: 'UInt32', default: 24 },
    shop: { type: 'String' },
    tenant: { type: 'String', claim: 'app.tenant' },
  },
  tables: ['orders'],
}
const plain: NamedQuery = { name: 'plain', sql: 'SELECT 2', params: {}, tables: [] }
const analytics = new ScriptedAnalytics()
const queries = new Queries([sales, plain], async () => analytics)
const ann: Principal = { ...unrestricted('ann'), claims: { app: { tenant: 't1' } } }
const bind = (given: Record<string, unknown>, principal = ann) =>
  queries.bind('sales', JSON.parse(JSON.stringify(given)), principal)

test('parameters are given, have a default, or come from the token', () => {
  expect(bind({ shop: 'x' }).params).toEqual({ hours: 24, shop: 'x', tenant: 't1' })
  expect(bind({ shop: 'x', hours: '7' }).params).toEqual({ hours: '7', shop: 'x', tenant: 't1' })
})

test('the same for the same caller is one query, whatever the order', () => {
  const key = bind({ shop: 'x', hours: 24 }).key
  expect(bind({ hours: 24, shop: 'x' }).key).toBe(key)
  expect(bind({ shop: 'x' }).key).toBe(key)
  expect(bind({ shop: 'y' }).key).not.toBe(key)
  expect(bind({ shop: 'x' }, { ...ann, claims: { app: { tenant: 't2' } } }).key).not.toBe(key)
  expect(bind({ shop: 'x' }, { ...ann, rows: () => [{ tenant: 't1' }] }).key).not.toBe(key)
  expect(bind({ shop: 'x' }, { ...ann, id: 'bob' }).key).toBe(key)
})

test('it runs with its parameters and the rows of the caller', async () => {
  const rows = [{ tenant: 't1' }]
  await bind({ shop: 'x' }, { ...ann, rows: () => rows }).run()
  expect(analytics.asked.at(-1)).toEqual({ sql: 'SELECT 1', params: { hours: 24, shop: 'x', tenant: 't1' }, rows })
})

describe('what is refused', () => {
  test.each([
    [{}, 'missing_parameter', /needs the parameter "shop", a String/],
    [{ shop: 'x', huors: 1 }, 'unknown_parameter', /"huors", did you mean "hours"\?/],
    [{ shop: 'x', something: 1 }, 'unknown_parameter', /it has hours, shop/],
    [{ shop: 'x', tenant: 't2' }, 'unknown_parameter', /taken from your token and cannot be given/],
    [{ shop: 'x', hours: -1 }, 'bad_parameter', /"hours" .* is a UInt32: -1 is out of the range/],
    [{ shop: 'x', hours: 'soon' }, 'bad_parameter', /"soon" is no integer/],
    [{ shop: 'x', hours: 1.5 }, 'bad_parameter', /1.5 is no integer/],
    [{ shop: 'x', hours: true }, 'bad_parameter', /true is no UInt32/],
    [{ shop: 5 }, 'bad_parameter', /5 is no text/],
    [{ shop: null }, 'bad_parameter', /null/],
    [{ shop: ['x'] }, 'bad_parameter', /no text/],
    [{ shop: 'x', __proto__x: 1, constructor: 1 }, 'unknown_parameter', /"(__proto__x|constructor)"/],
  ])('%j', (given, code, message) => {
    expect(() => bind(given)).toThrow(
      expect.objectContaining({ name: 'InvalidInput', code, message: expect.stringMatching(message) }),
    )
  })

  test('a token without the claim, or with one that is no such value', () => {
    for (const claims of [{}, { app: { tenant: null } }, { app: { tenant: 5 } }, { app: { tenant: { a: 1 } } }]) {
      const bound = () => bind({ shop: 'x' }, { ...ann, claims })
      expect(bound).toThrow(expect.objectContaining({ name: 'Forbidden', code: 'claim_missing' }))
    }
  })

  test('a name that is none, with the one that was meant', () => {
    const bound = () => queries.bind('sale', {}, ann)
    const message = expect.stringContaining('did you mean "sales"?')
    expect(bound).toThrow(expect.objectContaining({ name: 'NotFound', code: 'query_not_found', message }))
  })

  test('what one may not query: it is not listed, and not named either', () => {
    const principal: Principal = { ...ann, may: (_, name) => name === 'plain' || name === 'sale' }
    expect(queries.list(principal).map(({ name }) => name)).toEqual(['plain'])
    expect(() => queries.bind('sales', {}, principal)).toThrow(expect.objectContaining({ code: 'forbidden' }))
    expect(() => queries.bind('sale', {}, principal)).toThrow(
      expect.objectContaining({ code: 'query_not_found', message: expect.not.stringContaining('sales') }),
    )
  })
})
