import { afterEach, describe, expect, test } from 'vitest'
import type { NamedQuery } from '../../src/core/named-query.ts'
import { ScriptedAnalytics } from '../live/scripted-analytics.ts'
import { type Harness, json, startServer } from './harness.ts'

const sales: NamedQuery = {
  name: 'sales',
  description: 'What was sold',
  sql: 'SELECT n FROM sales ORDER BY n',
  params: {
    hours: { type: 'UInt32', default: 24, description: 'How far back' },
    shop: { type: 'String' },
    tenant: { type: 'String', claim: 'tenant' },
  },
  tables: ['sales'],
}
const counts: NamedQuery = { name: 'counts', sql: 'SELECT count() FROM sales', params: {}, tables: ['sales'] }

const open: Harness[] = []
async function server(access?: Parameters<typeof startServer>[0]): Promise<Harness> {
  const harness = await startServer({ queries: [sales, counts], ...access })
  open.push(harness)
  return harness
}
afterEach(async () => {
  for (const harness of open.splice(0)) await harness[Symbol.asyncDispose]()
})

describe('named queries over HTTP', () => {
  test('are listed with the parameters that can be given', async () => {
    const harness = await server()
    expect(await (await harness.fetch('/v1/queries')).json()).toEqual({
      queries: [
        { name: 'counts', params: [] },
        {
          name: 'sales',
          description: 'What was sold',
          params: [
            { name: 'hours', type: 'UInt32', required: false, default: 24, description: 'How far back' },
            { name: 'shop', type: 'String', required: true },
          ],
        },
      ],
    })
  })

  test('answer columns and rows', async () => {
    const analytics = new ScriptedAnalytics()
    analytics.rows = [{ n: 1 }]
    const harness = await server({ analytics })
    const response = await harness.fetch('/v1/queries/counts', json({}))
    expect(response.status).toBe(200)
    expect(await response.json()).toEqual({ columns: [{ name: 'n', type: 'String' }], rows: [{ n: 1 }] })
    expect(analytics.asked).toEqual([{ sql: counts.sql, params: {}, rows: undefined }])
  })

  test.each([
    ['/v1/queries/count', {}, 404, 'query_not_found'],
    ['/v1/queries/sales', { params: { hours: 1, shop: 'x' } }, 403, 'claim_missing'],
    ['/v1/queries/counts', { params: { x: 1 } }, 400, 'unknown_parameter'],
    ['/v1/queries/counts', { parameters: {} }, 400, 'invalid_body'],
  ])('%s with %j is %i %s', async (path, body, status, code) => {
    const harness = await server()
    const response = await harness.fetch(path, json(body))
    expect(response.status).toBe(status)
    expect(await response.json()).toMatchObject({ code })
  })
})
