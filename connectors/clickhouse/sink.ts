import { z } from 'zod'
import { isType } from '../../src/core/clickhouse/types.ts'
import { type BlockSink, type ComponentContext, defineSink, type Reference } from '../../src/core/component.ts'
import { insertIsolating } from './isolate.ts'
import { type ColumnSource, rowBuilder } from './rows.ts'

const identifier = /^[A-Za-z_][A-Za-z0-9_]*$/

/** Whether there is such a type only ClickHouse knows, and says at the start. */
const type = z
  .string()
  .min(1, { abort: true })
  .refine(isType, {
    error: ({ input }) => `"${String(input)}" is no ClickHouse type; write it like String or DateTime64(3)`,
  })

const column = z.union([
  type.describe('The ClickHouse type of the column; the value is the field of the same name.'),
  z.strictObject({
    type: type.describe('The ClickHouse type of the column, such as LowCardinality(String).'),
    from: z.string().optional().describe('The expression that gives the value. Default: the field of the same name.'),
  }),
])

const options = z
  .strictObject({
    table: z
      .string()
      .regex(identifier, 'a name of letters, digits and _')
      .describe('The table. It is made if need be.'),
    mode: z
      .enum(['append', 'upsert'])
      .default('append')
      .describe(
        'append: a row per event. upsert: the newest row of each event id counts, and a tombstone deletes it. Queries ' +
          'through Millrace see just these rows; other clients add FINAL to the table, or SET final = 1.',
      ),
    columns: z
      .record(z.string().regex(/^(?!_(id|version|deleted)$)/, 'a name other than _id, _version and _deleted'), column)
      .refine((columns) => Object.keys(columns).length > 0, 'name at least one column')
      .describe(
        'Types by column name. Times are milliseconds since 1970 or ISO 8601 texts; objects become JSON text in a ' +
          'String column; a field that an event lacks becomes NULL or the default of the type. Columns that the ' +
          'table lacks are added.',
      ),
    orderBy: z
      .union([z.string().transform((text) => [text]), z.array(z.string()).min(1)])
      .optional()
      .describe(
        'Columns or expressions that the table is sorted by, those that queries filter by first (mode append).',
      ),
    partitionBy: z.string().optional().describe('A ClickHouse expression, such as toYYYYMM(at).'),
    ttl: z.string().optional().describe('A ClickHouse TTL expression, such as toDateTime(at) + INTERVAL 90 DAY.'),
  })
  .refine(({ mode, orderBy }) => mode === 'append' || orderBy === undefined, {
    path: ['orderBy'],
    message: 'a table in mode upsert is sorted by the id of its events',
  })

type Options = z.infer<typeof options>

/** Writes each block as one insert under the block's id, which ClickHouse remembers: a replay is dropped. */
export const clickhouse = defineSink<Options>({
  kind: 'sink',
  name: 'clickhouse',
  summary: 'Writes events into a ClickHouse table, each exactly once.',
  example: `clickhouse:
  table: tickets
  columns:
    at: { type: DateTime64(3), from: timestamp }
    category: LowCardinality(String)
    subject: String
    customer: { type: String, from: value.customer.id }
  orderBy: [category, at]`,
  main: 'table',
  options,
  references: ({ columns }) =>
    columnSources(columns).map(({ name, from, path }): Reference => {
      if (from === undefined) return { kind: 'field', path, name }
      return { kind: 'expression', path, text: from, returns: 'any' }
    }),
  create: createSink,
})

function columnSources(columns: Options['columns']): (ColumnSource & { path: string[] })[] {
  return Object.entries(columns).map(([name, given]) => {
    if (typeof given === 'string') return { name, type: given, from: undefined, path: ['columns', name] }
    const { type, from } = given
    return { name, type, from, path: from === undefined ? ['columns', name] : ['columns', name, 'from'] }
  })
}

async function createSink(given: Options, context: ComponentContext): Promise<BlockSink> {
  const { table, mode, orderBy, partitionBy, ttl } = given
  const columns = columnSources(given.columns)
  const build = rowBuilder(columns, mode === 'upsert', context.expressions)
  const analytics = await context.services.analytics()
  const types = columns.map(({ name, type }) => ({ name, type }))
  await analytics.ensureTable({ name: table, columns: types, mode, orderBy, partitionBy, ttl })
  // A second sink of a pipeline on the same table writes the same blocks.
  const suffix = context.component === 'clickhouse' ? '' : `/${context.component}`
  return {
    takes: 'blocks',
    async write(block) {
      const { rows, rejections } = await build(block.events)
      const refused = await insertIsolating(analytics, table, rows, `${block.id}${suffix}`)
      return [...rejections, ...refused].sort((a, b) => a.index - b.index)
    },
  }
}
