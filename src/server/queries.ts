import { z } from 'zod'
import type { Json } from '../core/event.ts'
import { readJson } from './body.ts'
import type { GatewayContext } from './context.ts'
import { principalOf } from './permission.ts'
import { rows } from './query.ts'
import { pathParameter, type Routes } from './route.ts'
import { answer, request } from './schemas.ts'

const namedQueries = answer(
  'Queries',
  z.object({
    queries: z.array(
      z.object({
        name: z.string(),
        description: z.string().optional(),
        params: z.array(
          z.object({
            name: z.string(),
            type: z.string().describe('A ClickHouse type.'),
            required: z.boolean(),
            default: z.custom<Json>().optional(),
            description: z.string().optional(),
          }),
        ),
      }),
    ),
  }),
)

const parameters = request(
  'QueryParameters',
  z.strictObject({
    params: z.record(z.string(), z.custom<Json>()).default({}).describe("Values of the query's parameters, by name."),
  }),
)

export function namedQueryRoutes(routes: Routes, { queries }: GatewayContext): void {
  routes.add(
    {
      method: 'get',
      path: '/v1/queries',
      permission: 'caller',
      tag: 'Analytics',
      summary: 'The named queries that the caller may use',
      answers: {
        200: {
          description: 'Queries with the parameters that can be given.',
          content: {
            'application/json': {
              schema: namedQueries,
              example: {
                queries: [
                  {
                    name: 'tickets-by-category',
                    description: 'How many tickets came in, by category.',
                    params: [{ name: 'hours', type: 'UInt32', required: false, default: 24 }],
                  },
                ],
              },
            },
          },
        },
      },
      problems: [],
    },
    (c) => {
      const listed = queries.list(principalOf(c)).map(({ name, description, params }) => ({
        name,
        description,
        params: Object.entries(params).flatMap(([parameter, { type, default: otherwise, claim, description }]) => {
          if (claim !== undefined) return []
          return [{ name: parameter, type, required: otherwise === undefined, default: otherwise, description }]
        }),
      }))
      return c.json({ queries: listed })
    },
  )

  routes.add(
    {
      method: 'post',
      path: '/v1/queries/{query}',
      permission: { action: 'query', name: '{query}' },
      tag: 'Analytics',
      summary: 'Run a named query',
      description: 'The caller sees the rows that it may see. The live protocol subscribes to the same rows.',
      body: {
        'application/json': { schema: parameters, example: { params: { hours: 24 } } },
      },
      answers: {
        200: {
          description: 'Columns and rows.',
          content: {
            'application/json': {
              schema: rows,
              example: {
                columns: [
                  { name: 'category', type: 'LowCardinality(String)' },
                  { name: 'tickets', type: 'UInt64' },
                ],
                rows: [{ category: 'billing', tickets: 17 }],
              },
            },
          },
        },
      },
      problems: [400, 404, 413, 503],
    },
    async (c) => {
      const { params } = await readJson(c, parameters, 1_000_000)
      const bound = queries.bind(pathParameter(c, 'query'), params, principalOf(c))
      return c.json(await bound.run(c.req.raw.signal))
    },
  )
}
