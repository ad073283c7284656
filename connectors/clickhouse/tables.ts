import type { ClickHouseClient } from '@clickhouse/client'
import type { Column, TableSpec } from '../../src/core/analytics.ts'
import { quoteName, quoteString, singleExpression } from '../../src/core/clickhouse/sql.ts'
import { parseType } from '../../src/core/clickhouse/types.ts'
import { Fatal, MillraceError } from '../../src/core/errors.ts'
import { frontStatement, onCluster, shardsOf, storedTable, tableEngine } from './cluster.ts'
import { type Engine, execute, selectRows } from './engine.ts'
import { definitionError } from './errors.ts'

/**
 * What an `upsert` table has beside its columns. `SELECT *` leaves them out (they are `MATERIALIZED`), and a query that
 * wants them names them.
 */
const hidden = [
  { name: '_id', type: 'String', definition: "String MATERIALIZED ''" },
  { name: '_version', type: 'UInt64', definition: 'UInt64 MATERIALIZED 0' },
  { name: '_deleted', type: 'UInt8', definition: 'UInt8 MATERIALIZED 0' },
]

/**
 * Tokens that a table remembers. A block is repeated soon if ever, so this is far more than can be in flight. Replicated
 * tables also forget by age, which has to outlast an outage of ours.
 */
const deduplicationWindow = 10_000
const deduplicationSeconds = 7 * 24 * 3600
const deduplicationSettings = {
  non_replicated_deduplication_window: deduplicationWindow,
  replicated_deduplication_window: deduplicationWindow,
  replicated_deduplication_window_seconds: deduplicationSeconds,
}

/** Creates the table or adds the columns it lacks; see `Analytics.ensureTable`. */
export async function ensureTable(engine: Engine, spec: TableSpec): Promise<void> {
  const { cluster, database } = engine
  const stored = storedTable(engine, spec.name)
  try {
    const create = createStatement(engine, spec)
    await engine.administer(async (client) => {
      if (cluster !== undefined) await shardsOf(client, engine, cluster)
      const wanted = await canonicalTypes(client, spec.columns)
      await execute(client, create)
      const present = await presentColumns(client, database, stored)
      await addColumns(client, engine, stored, wanted, present)
      await rememberTokens(client, database, stored)
      if (spec.mode === 'upsert') assertUpsert(stored, present)
      if (cluster !== undefined) await ensureFront(client, engine, cluster, spec, wanted)
    })
  } catch (error) {
    if (error instanceof MillraceError) throw error
    throw definitionError(error, engine.name, `table ${spec.name}`)
  }
}

async function ensureFront(
  client: ClickHouseClient,
  engine: Engine,
  cluster: string,
  { name, mode }: TableSpec,
  wanted: ReadonlyMap<string, string>,
): Promise<void> {
  await execute(client, frontStatement(engine, cluster, name, mode === 'upsert'))
  const [found] = await tableDefinition(client, engine.database, name)
  if (found !== 'Distributed') {
    throw new Fatal({
      code: 'table_not_distributed',
      message: `${engine.name}: table ${name} is there as ${found}, but on cluster ${cluster} it is a Distributed table`,
      hint: 'It was made before the cluster: write to another table, or rename this one on all servers.',
    })
  }
  await addColumns(client, engine, name, wanted, await presentColumns(client, engine.database, name))
}

function createStatement(engine: Engine, spec: TableSpec): string {
  const upsert = spec.mode === 'upsert'
  const columns = spec.columns.map(({ name, type }) => `${quoteName(name)} ${checkedType(type)}`)
  if (upsert) columns.push(...hidden.map(({ name, definition }) => `${quoteName(name)} ${definition}`))
  const order = upsert ? [quoteName('_id')] : (spec.orderBy ?? []).map((text) => singleExpression(text, 'orderBy'))
  const settings = Object.entries({ ...deduplicationSettings, ...engine.tableSettings })
  const clauses = [
    `CREATE TABLE IF NOT EXISTS ${quoteName(engine.database)}.${quoteName(storedTable(engine, spec.name))}`,
    onCluster(engine),
    `(${columns.join(', ')})`,
    `ENGINE = ${tableEngine(engine, upsert)}`,
    spec.partitionBy === undefined ? '' : `PARTITION BY (${singleExpression(spec.partitionBy, 'partitionBy')})`,
    `ORDER BY (${order.join(', ')})`,
    // A row that says "deleted" has to outlive the rows it deletes.
    spec.ttl === undefined
      ? ''
      : `TTL ${singleExpression(spec.ttl, 'ttl')}${upsert ? ' DELETE WHERE `_deleted` = 0' : ''}`,
    `SETTINGS ${settings.map(([name, value]) => `${name} = ${value}`).join(', ')}`,
  ]
  return clauses.filter((clause) => clause !== '').join(' ')
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
  table: string,
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
        message: `${engine.name}: table ${table}: column ${name} is ${found}, but the pipeline wants ${type}`,
        hint: `Give the column the type ${found} in the pipeline, write to another table, or change the table by hand.`,
      })
    }
  }
  if (added.length === 0) return
  const names = [quoteName(engine.database), quoteName(table)].join('.')
  await execute(client, `ALTER TABLE ${names} ${onCluster(engine)} ${added.join(', ')}`)
}

/**
 * A table that was made by hand does not remember tokens, so a replay would double its rows. Replicated and shared ones
 * do so by default.
 */
async function rememberTokens(client: ClickHouseClient, database: string, table: string): Promise<void> {
  const [engine, definition] = await tableDefinition(client, database, table)
  const forgets = /^(?!Replicated|Shared).*MergeTree$/.test(engine ?? '')
  if (!forgets || /non_replicated_deduplication_window = [1-9]/.test(definition ?? '')) return
  const setting = `non_replicated_deduplication_window = ${deduplicationWindow}`
  await execute(client, `ALTER TABLE ${quoteName(database)}.${quoteName(table)} MODIFY SETTING ${setting}`)
}

/** The engine of a table, alone and with all that belongs to it. */
async function tableDefinition(client: ClickHouseClient, database: string, table: string): Promise<string[]> {
  const where = `database = ${quoteString(database)} AND name = ${quoteString(table)}`
  const [found] = await selectRows(client, `SELECT engine, engine_full FROM system.tables WHERE ${where}`)
  return (found ?? []).map(String)
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
