import type { ClickHouseClient } from '@clickhouse/client'
import { quoteName, quoteString, type Token, tokenize } from '../../src/core/clickhouse/sql.ts'
import { parseType, unwrap } from '../../src/core/clickhouse/types.ts'
import { InvalidInput } from '../../src/core/errors.ts'
import type { RowFilter, RowValue } from '../../src/core/principal.ts'
import { storedTable } from './cluster.ts'
import { type Engine, selectRows } from './engine.ts'
import { serverError } from './errors.ts'

/*
 * A query with a row filter runs with ClickHouse's setting `additional_table_filters`: a condition for each table, put where
 * the table is read, whatever stands around it. It holds for every name in the query that could be a table, and a name
 * that is no table, or whose table lacks a field, has a condition that no query survives. What ClickHouse would read past
 * the setting is refused.
 */

export interface TableFilters {
  /** The value of `additional_table_filters`. */
  readonly setting: string
  /** The error of a query that ran with it, in the words of the row filter if it was the reason. */
  explain(error: unknown): unknown
}

/** Tables whose rows are only read where the setting is heeded; those of Join and Set, and dictionaries, also elsewhere. */
const filterable = /MergeTree$|^(?:Buffer|Distributed|Log|MaterializedView|Memory|Merge|Null|StripeLog|TinyLog|View)$/

/** Functions that read a table, or what is known of it, past the setting. */
const readers =
  /^(?:dict\w*|joinget\w*|merge|mergetree\w+|timeseries(?:data|metrics|selector|tags)|fuzzquery|getsetting\w*)$/

const unknownMark = 'row_filter_unknown_field_'

/** Throws `InvalidInput` (`row_filter_not_supported`) for a query that could read rows past the filter. */
export async function tableFilters(engine: Engine, sql: string, rows: RowFilter): Promise<TableFilters> {
  const tokens = tokenize(sql)
  assertFilterable(tokens)
  const names = namesIn(tokens)
  const { database } = engine
  const columns = await engine.administer(async (client) => {
    await assertOwnDatabase(client, database, tokens)
    return columnsOf(client, engine, names)
  })
  const unknown: { readonly table: string; readonly field: string }[] = []
  const conditionOf = (table: string): string => {
    const known = columns.get(table) ?? new Map<string, string>()
    const missing = fieldsOf(rows).find((field) => columnFor(field, known) === undefined)
    if (missing === undefined) return condition(rows, known)
    return quoteName(`${unknownMark}${unknown.push({ table, field: missing }) - 1}`)
  }
  const entries = names.flatMap((name) => {
    const where = conditionOf(name)
    return [...new Set([name, storedTable(engine, name)])].map((table) => [`${database}.${table}`, where] as const)
  })
  const setting = entries.map(([table, where]) => `${quoteString(table)}:${quoteString(where)}`).join(',')
  return { setting: `{${setting}}`, explain: (error) => explained(error, unknown) }
}

/**
 * The column that a field's values are in: the one of its name, or of its name with underscores for dots, as a column cannot
 * always have a dot. Never that of its last part alone, which may be something else's.
 */
function columnFor(field: string, columns: ReadonlyMap<string, string>): string | undefined {
  return [field, field.replaceAll('.', '_')].find((name) => columns.has(name))
}

function fieldsOf(rows: RowFilter): string[] {
  return [...new Set(rows.flatMap((alternative) => Object.keys(alternative)))]
}

/** Without alternatives nothing is seen. */
function condition(rows: RowFilter, columns: ReadonlyMap<string, string>): string {
  const alternatives = rows.map((alternative) => {
    const parts = Object.entries(alternative).map(([field, value]) => {
      const column = columnFor(field, columns) ?? field
      return comparison(column, columns.get(column) ?? 'String', value)
    })
    return parts.length === 0 ? '1' : `(${parts.join(' AND ')})`
  })
  return alternatives.length === 0 ? '0' : alternatives.join(' OR ')
}

/** Values of the column's own kind are compared as they are, so that an index helps; all others by their text. */
function comparison(column: string, type: string, value: RowValue): string {
  const { name } = unwrap(parseType(type))
  const quoted = quoteName(column)
  if (typeof value === 'string' && /^(?:Fixed)?String$/.test(name)) return `${quoted} = ${quoteString(value)}`
  if (Number.isSafeInteger(value) && /^U?Int\d+$/.test(name)) return `${quoted} = ${value}`
  return `toString(${quoted}) = ${quoteString(String(value))}`
}

function assertFilterable(tokens: readonly Token[]): void {
  const first = tokens.find(({ kind, text }) => kind !== 'sign' || text !== '(')
  if (!/^(?:SELECT|WITH)$/i.test(first?.text ?? '')) throw unsupported('it is no SELECT')
  for (const [at, { kind, text }] of tokens.entries()) {
    if (kind === 'quoted' && /[\\`"]/.test(text)) throw unsupported('it names something with escapes')
    const called = tokens[at + 1]?.kind === 'sign' && tokens[at + 1]?.text === '('
    if ((kind === 'word' || kind === 'quoted') && called && readers.test(text.toLowerCase())) {
      throw unsupported(`${text}() reads past row filters`)
    }
    if (kind !== 'word') continue
    if (/^SETTINGS$/i.test(text)) throw unsupported('it has SETTINGS')
    // ClickHouse evaluates it before the filter: an error would show what others have.
    if (/^PREWHERE$/i.test(text)) throw unsupported('it has PREWHERE, which sees all rows: write WHERE')
    const named = tokens[at - 1]?.text === ':' && /^Identifier$/i.test(text)
    if (named) throw unsupported('a parameter names a table or column')
  }
}

/** Every name in the query: which of them are tables only ClickHouse knows. */
function namesIn(tokens: readonly Token[]): string[] {
  return [...new Set(tokens.filter(({ kind }) => kind === 'word' || kind === 'quoted').map(({ text }) => text))]
}

/** A name before a point is an alias, a column or our database. */
async function assertOwnDatabase(client: ClickHouseClient, database: string, tokens: readonly Token[]): Promise<void> {
  const before = namesIn(tokens.filter((_, at) => tokens[at + 1]?.text === '.')).filter((name) => name !== database)
  if (before.length === 0) return
  const sql = `SELECT name FROM system.databases WHERE name IN (${before.map(quoteString).join(', ')})`
  const [found] = await selectRows(client, sql)
  if (found !== undefined) throw unsupported(`${String(found[0])} is another database`)
}

/** Types of columns by name, of the tables among the names. */
async function columnsOf(
  client: ClickHouseClient,
  { database }: Engine,
  names: readonly string[],
): Promise<Map<string, Map<string, string>>> {
  const list = `database = ${quoteString(database)} AND table IN (${names.map(quoteString).join(', ')})`
  const engines = `SELECT name, engine FROM system.tables WHERE ${list.replace('AND table', 'AND name')}`
  for (const [name, engine] of await selectRows(client, engines)) {
    if (!filterable.test(String(engine)))
      throw unsupported(`${String(name)} is a table of the engine ${String(engine)}`)
  }
  const tables = new Map<string, Map<string, string>>()
  for (const [table, name, type] of await selectRows(
    client,
    `SELECT table, name, type FROM system.columns WHERE ${list}`,
  )) {
    const columns = tables.get(String(table)) ?? new Map<string, string>()
    tables.set(String(table), columns.set(String(name), String(type)))
  }
  return tables
}

function explained(error: unknown, unknown: readonly { readonly table: string; readonly field: string }[]): unknown {
  const index = new RegExp(`\`${unknownMark}(\\d+)\``).exec(serverError(error).message)?.[1]
  const missing = index === undefined ? undefined : unknown[Number(index)]
  if (missing === undefined) return error
  const { table, field } = missing
  const underscored = field.replaceAll('.', '_')
  const column = field === underscored ? `"${field}"` : `"${field}" or "${underscored}"`
  return new InvalidInput({
    code: 'row_filter_unknown_field',
    message: `The table ${table} has no column ${column}, by which the rows that you may see are told.`,
    hint: 'Give the table that column, or query one that has it.',
    cause: error,
  })
}

function unsupported(why: string): InvalidInput {
  return new InvalidInput({
    code: 'row_filter_not_supported',
    message: `This query cannot run for someone who may see some rows only: ${why}.`,
  })
}
