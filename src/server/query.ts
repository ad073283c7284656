import { z } from 'zod'
import type { Json } from '../core/event.ts'
import { readJson } from './body.ts'
import type { GatewayContext } from './context.ts'
import { assertAllRows } from './permission.ts'
import type { Routes } from './route.ts'
import { answer, anyJson, request } from './schemas.ts'

const query = request(
  'Query',
  z.strictObject({
    sql: z.string().min(1).max(256_000),
    params: z
      .record(z.string(), z.custom<Json>())
      .optional()
      .describe('Values of the placeholders {name:Type}, such as {category:String}.'),
  }),
)
export const rows = answer(
  'Rows',
  z.object({
    columns: z.array(z.object({ name: z.string(), type: z.string() })),
    rows: z.array(z.record(z.string(), anyJson)),
  }),
)
const tables = answer(
  'Tables',
  z.object({ tables: z.array(z.object({ name: z.string(), rows: z.int(), bytes: z.int() })) }),
)

const ownQueries = 'Use a named query, which shows your rows only: GET /v1/queries lists those that you may use.'

export function queryRoutes(routes: Routes, { services }: GatewayContext): void {
  routes.add(
    {
      method: 'post',
      path: '/v1/query',
      permission: { action: 'query', name: 'sql' },
      tag: 'Analytics',
      summary: 'Ask ClickHouse',
      description: 'Read-only SQL, with limits on time, rows and memory.',
      body: {
        'application/json': {
          schema: query,
          example: {
            sql: 'SELECT category, count() AS tickets FROM tickets WHERE at > {since:DateTime} GROUP BY category',
            params: { since: '2026-01-01 00:00:00' },
          },
        },
      },
      answers: {
        200: {
          description: 'Columns and rows.',
          content: {
            'application/json': {
              schema: rows,
              example: {
                columns: [{ name: 'category', type: 'LowCardinality(String)' }],
                rows: [{ category: 'billing' }],
              },
            },
          },
        },
      },
      problems: [400, 413, 503],
    },
    async (c) => {
      assertAllRows(c, ownQueries)
      const { sql, params } = await readJson(c, query, 1_000_000)
      const analytics = await services.analytics()
      return c.json(await analytics.query(sql, params, c.req.raw.signal))
    },
  )

  routes.add(
    {
      method: 'get',
      path: '/v1/tables',
      permission: { action: 'query', name: 'sql' },
      tag: 'Analytics',
      summary: 'All tables',
      answers: {
        200: {
          description: 'Tables with their sizes.',
          content: {
            'application/json': {
              schema: tables,
              example: { tables: [{ name: 'tickets', rows: 42, bytes: 3120 }] },
            },
          },
        },
      },
      problems: [503],
    },
    async (c) => {
      assertAllRows(c, ownQueries)
      return c.json({ tables: await (await services.analytics()).tables() })
    },
  )
}
