import type { ClickHouseClient } from '@clickhouse/client'
import type { Column, TableSpec } from '../../src/core/analytics.ts'
import { Fatal, MillraceError } from '../../src/core/errors.ts'
import { type Engine, selectRows } from './engine.ts'
import { definitionError } from './errors.ts'
import { quoteName, quoteString, singleExpression } from './sql.ts'
import { parseType } from './types.ts'

/**
 * What an `upsert` table has beside its columns. `SELECT *` leaves them out (they are `MATERIALIZED`), and a query that
 * wants them names them.
 */
const hidden = [
  { name: '_id', type: 'String', definition: "String MATERIALIZED ''" },
  { name: '_version', type: 'UInt64', definition: 'UInt64 MATERIALIZED 0' },
  { name: '_deleted', type: 'UInt8', definition: 'UInt8 MATERIALIZED 0' },
]

/** Tokens that a table remembers. A block is repeated soon if ever, so this is far more than can be in flight. */
const deduplicationWindow = 10_000

/** Creates the table or adds the columns it lacks; see `Analytics.ensureTable`. */
export async function ensureTable(engine: Engine, spec: TableSpec): Promise<void> {
  const what = `table ${spec.name}`
  try {
    const create = createStatement(engine, spec)
    await engine.administer(async (client) => {
      const wanted = await canonicalTypes(client, spec.columns)
      await client.command({ query: create })
      const present = await presentColumns(client, engine.database, spec.name)
      await addColumns(client, engine, spec, wanted, present)
      await rememberTokens(client, engine.database, spec.name)
      if (spec.mode === 'upsert') assertUpsert(spec.name, present)
    })
  } catch (error) {
    if (error instanceof MillraceError) throw error
    throw definitionError(error, what)
  }
}

function createStatement(engine: Engine, spec: TableSpec): string {
  const upsert = spec.mode === 'upsert'
  const columns = spec.columns.map(({ name, type }) => `${quoteName(name)} ${checkedType(type)}`)
  if (upsert) columns.push(...hidden.map(({ name, definition }) => `${quoteName(name)} ${definition}`))
  const order = upsert ? [quoteName('_id')] : (spec.orderBy ?? []).map((text) => singleExpression(text, 'orderBy'))
  const settings = Object.entries({
    non_replicated_deduplication_window: deduplicationWindow,
    ...engine.tableSettings,
  })
  return [
    `CREATE TABLE IF NOT EXISTS ${quoteName(engine.database)}.${quoteName(spec.name)}`,
    `(${columns.join(', ')})`,
    `ENGINE = ${upsert ? 'ReplacingMergeTree(`_version`, `_deleted`)' : 'MergeTree'}`,
    spec.partitionBy === undefined ? '' : `PARTITION BY (${singleExpression(spec.partitionBy, 'partitionBy')})`,
    `ORDER BY (${order.join(', ')})`,
    // A row that says "deleted" has to outlive the rows it deletes.
    spec.ttl === undefined
      ? ''
      : `TTL ${singleExpression(spec.ttl, 'ttl')}${upsert ? ' DELETE WHERE `_deleted` = 0' : ''}`,
    `SETTINGS ${settings.map(([name, value]) => `${name} = ${value}`).join(', ')}`,
  ].join(' ')
}

function checkedType(type: string): string {
  parseType(type)
  return type
}

/** Types as ClickHouse itself spells them, by column, so that `BIGINT` is the same as `Int64`. */
async function canonicalTypes(client: ClickHouseClient, columns: readonly Column[]): Promise<Map<string, string>> {
  const structure = columns.map(({ name, type }) => `${quoteName(name)} ${checkedType(type)}`).join(', ')
  const rows = await selectRows(client, `DESCRIBE TABLE null(${quoteString(structure)})`)
  return new Map(rows.map(([name, type]) => [String(name), String(type)]))
}

async function presentColumns(client: ClickHouseClient, database: string, table: string): Promise<Map<string, string>> {
  const where = `database = ${quoteString(database)} AND table = ${quoteString(table)}`
  const rows = await selectRows(client, `SELECT name, type FROM system.columns WHERE ${where}`)
  return new Map(rows.map(([name, type]) => [String(name), String(type)]))
}

async function addColumns(
  client: ClickHouseClient,
  engine: Engine,
  spec: TableSpec,
  wanted: ReadonlyMap<string, string>,
  present: ReadonlyMap<string, string>,
): Promise<void> {
  const added: string[] = []
  for (const [name, type] of wanted) {
    const found = present.get(name)
    if (found === undefined) added.push(`ADD COLUMN IF NOT EXISTS ${quoteName(name)} ${type}`)
    else if (found !== type) {
      throw new Fatal({
        code: 'column_type_mismatch',
        message: `ClickHouse table ${spec.name}: column ${name} is ${found}, but the pipeline wants ${type}`,
        hint: `Give the column the type ${found} in the pipeline, write to another table, or change the table by hand.`,
      })
    }
  }
  if (added.length === 0) return
  const table = `${quoteName(engine.database)}.${quoteName(spec.name)}`
  await client.command({ query: `ALTER TABLE ${table} ${added.join(', ')}` })
}

/**
 * A table that was made by hand does not remember tokens, so a replay would double its rows. Replicated and shared ones
 * do so by default.
 */
async function rememberTokens(client: ClickHouseClient, database: string, table: string): Promise<void> {
  const where = `database = ${quoteString(database)} AND name = ${quoteString(table)}`
  const [found] = await selectRows(client, `SELECT engine, engine_full FROM system.tables WHERE ${where}`)
  const [engine, definition] = (found ?? []).map(String)
  const forgets = /^(?!Replicated|Shared).*MergeTree$/.test(engine ?? '')
  if (!forgets || /non_replicated_deduplication_window = [1-9]/.test(definition ?? '')) return
  const setting = `non_replicated_deduplication_window = ${deduplicationWindow}`
  await client.command({ query: `ALTER TABLE ${quoteName(database)}.${quoteName(table)} MODIFY SETTING ${setting}` })
}

function assertUpsert(table: string, present: ReadonlyMap<string, string>): void {
  for (const { name, type } of hidden) {
    if (present.get(name) === type) continue
    throw new Fatal({
      code: 'table_mode_mismatch',
      message: `ClickHouse table ${table} is there, but was not made for mode upsert: it has no column ${name} of type ${type}`,
      hint: 'Write to another table, or drop this one and let the pipeline make it.',
    })
  }
}
