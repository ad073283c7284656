import { basename } from 'node:path'
import { z } from 'zod'
import { Misfit } from '../core/clickhouse/misfit.ts'
import { type Placeholder, parameterFitting, placeholdersOf, plainType } from '../core/clickhouse/parameters.ts'
import { readOnlyQuery } from '../core/clickhouse/read-only.ts'
import { ordered } from '../core/clickhouse/row-order.ts'
import { tablesRead } from '../core/clickhouse/tables-read.ts'
import { isType } from '../core/clickhouse/types.ts'
import { errorCode, errorMessage, InvalidInput } from '../core/errors.ts'
import type { Json } from '../core/event.ts'
import type { NamedQuery, QueryParameter } from '../core/named-query.ts'
import { didYouMean } from '../core/nearest.ts'
import { duration } from '../core/units.ts'
import { check, type Issue } from './issues.ts'
import { type Problem, ProblemList, type Span } from './problem.ts'
import { keySpan, type Located, type Path, readYaml, spanAt } from './yaml.ts'

export interface ParsedQuery {
  /** Present when there is no error among the problems. */
  readonly query?: NamedQuery
  readonly problems: readonly Problem[]
}

/** Permissions for something else have these names: any SQL, and vectors of texts. */
const reserved: Readonly<Record<string, string>> = { sql: "SQL of the caller's own", embeddings: 'vectors of texts' }

const queryName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'a query name has lower-case letters, digits and "-" (63 characters at most)')
  .refine((name) => !Object.hasOwn(reserved, name), {
    error: ({ input }) => `"${input}" stands for ${reserved[String(input)]}; choose another name`,
  })

const type = z
  .string()
  .refine(isType, { error: ({ input }) => `"${String(input)}" is no ClickHouse type; write it like UInt32 or String` })
  .refine((text) => !/\bIdentifier\b/.test(text), 'a parameter is a value; it cannot name a table or a column')

const parameter = z
  .strictObject({
    type: type.describe('A ClickHouse type, such as UInt32.'),
    default: z.custom<Json>().optional().describe('What it is when the caller gives none.'),
    claim: z.string().min(1).optional().describe("The claim of the caller's token that it is taken from."),
    description: z.string().optional(),
  })
  .refine((given) => given.default === undefined || given.claim === undefined, {
    path: ['claim'],
    error: 'a parameter that is taken from a claim has no default: whoever lacks the claim would get it',
  })

/** Below this a query would hardly do anything else. */
const leastRefreshMs = 1_000

const queryFile = z.strictObject({
  name: queryName.optional().describe('What clients call it. The name of the file when left out.'),
  description: z.string().optional(),
  sql: z.string().min(1).max(100_000).describe('A SELECT; `{name:Type}` takes a parameter.'),
  params: z
    .record(
      z.string().regex(/^[A-Za-z_]\w*$/, 'a name of letters, digits and _'),
      z.union([type.transform((text) => ({ type: text })), parameter]),
    )
    .default({}),
  tables: z
    .array(z.string().min(1))
    .optional()
    .describe('The tables it reads: new rows in one of them change its rows. Those named in the SQL when left out.'),
  refresh: duration()
    .refine((ms) => ms >= leastRefreshMs, `at least ${leastRefreshMs / 1000}s`)
    .optional()
    .describe('It runs again after this time in any case, for its rows depend on the clock.'),
})

/** Reads and checks the file of a named query. Never throws for what is in the text: every problem comes back, all at once. */
export function parseQuery(text: string, file: string): ParsedQuery {
  const problems = new ProblemList(file, text)
  const root = readYaml(text, problems)
  if (root?.entries === undefined) {
    if (root !== undefined || !problems.failed) {
      const message = 'a query file is a mapping with the keys sql, params and, if need be, name, tables and refresh'
      problems.add(root ?? { start: 0, end: 1 }, { code: root ? 'wrong_type' : 'empty_file', message })
    }
    return { problems: problems.all }
  }
  const given = { name: basename(file).replace(/\.ya?ml$/, ''), ...presentIn(root) }
  const { data, issues = [] } = check(queryFile, given)
  for (const issue of issues) report(root, issue, problems)
  if (data === undefined) return { problems: problems.all }
  const { name = '', description, sql, params, refresh } = data
  const tables = data.tables ?? checkedTables(sql)
  checkSql(root, sql, { refresh, tables }, problems)
  checkParameters(root, sql, text, params, problems)
  if (problems.failed) return { problems: problems.all }
  return { query: { name, description, sql, params, tables, refresh }, problems: problems.all }
}

/** A key with nothing behind it, such as `params:`, counts as left out. */
function presentIn(root: Located): Record<string, unknown> {
  const given = [...(root.entries ?? [])].filter(([, { node }]) => node.value !== null)
  return Object.fromEntries(given.map(([key, { node }]) => [key, node.value]))
}

function report(root: Located, issue: Issue, problems: ProblemList): void {
  const span = issue.at === 'key' ? (keySpan(root, issue.path) ?? spanAt(root, issue.path)) : spanAt(root, issue.path)
  problems.add(span, { code: issue.code, message: issue.message })
}

function checkSql(
  root: Located,
  sql: string,
  { refresh, tables }: Pick<NamedQuery, 'refresh' | 'tables'>,
  problems: ProblemList,
): void {
  const span = keySpan(root, ['sql']) ?? root
  try {
    readOnlyQuery(sql)
  } catch (error) {
    if (!(error instanceof InvalidInput)) throw error
    problems.add(span, { code: errorCode(error) ?? 'query_not_allowed', message: errorMessage(error) })
    return
  }
  if (!/^[\s(]*(?:--[^\n]*\n\s*|\/\*[\s\S]*?\*\/\s*)*[\s(]*(?:SELECT|WITH)\b/i.test(sql)) {
    problems.add(span, { code: 'query_not_allowed', message: 'a named query is a SELECT' })
    return
  }
  if (!ordered(sql)) {
    problems.add(span, {
      severity: 'warning',
      code: 'query_without_order',
      message: 'the rows come in any order, so that a live query sends them again although nothing has changed',
      hint: 'end it with ORDER BY, up to columns that are different in every row',
    })
  }
  if (tables.length === 0 && refresh === undefined) {
    problems.add(span, {
      severity: 'warning',
      code: 'query_never_changes',
      message: 'no table is named in the SQL, so a live query never runs again',
      hint: 'name the tables it depends on under "tables", or give it a "refresh"',
    })
  }
}

function checkParameters(
  root: Located,
  sql: string,
  text: string,
  params: Readonly<Record<string, QueryParameter>>,
  problems: ProblemList,
): void {
  const placeholders = readPlaceholders(sql)
  const named = new Map(placeholders.map((placeholder) => [placeholder.name, placeholder]))
  const place = (name: string): Span => placeholderSpan(root, text, name)
  for (const { name, type } of named.values()) {
    if (Object.hasOwn(params, name)) continue
    const message = `the SQL takes a parameter "${name}", which "params" does not have${didYouMean(name, Object.keys(params))}`
    problems.add(place(name), { code: 'unknown_parameter', message, hint: `params: { ${name}: ${type} }` })
  }
  for (const [name, { type, default: otherwise }] of Object.entries(params)) {
    const key = keySpan(root, ['params', name]) ?? root
    const used = placeholders.filter((placeholder) => placeholder.name === name)
    if (used.length === 0) {
      const message = `the SQL has no {${name}:${type}}${didYouMean(name, named.keys())}`
      problems.add(key, { code: 'unused_parameter', message })
    }
    const other = used.find((placeholder) => plainType(placeholder.type) !== plainType(type))
    if (other !== undefined) {
      const message = `"${name}" is ${type} here, and ${other.type} in the SQL`
      problems.add(key, { code: 'parameter_type_mismatch', message })
    } else if (otherwise !== undefined) checkDefault(root, name, type, otherwise, problems)
  }
}

function checkDefault(root: Located, name: string, type: string, value: Json, problems: ProblemList): void {
  try {
    parameterFitting(type)(value)
  } catch (error) {
    if (!(error instanceof Misfit)) throw error
    const path: Path = ['params', name, 'default']
    problems.add(spanAt(root, path), { code: 'bad_default', message: `no value of ${type}: ${error.message}` })
  }
}

/** SQL that cannot be cut into words is told once, by `readOnlyQuery`. */
function readPlaceholders(sql: string): readonly Placeholder[] {
  try {
    return placeholdersOf(sql)
  } catch {
    return []
  }
}

function checkedTables(sql: string): readonly string[] {
  try {
    return tablesRead(sql)
  } catch {
    return []
  }
}

/** Where `{name` stands in the file, or else the SQL's key: an escape of YAML may have hidden it. */
function placeholderSpan(root: Located, text: string, name: string): Span {
  const key = keySpan(root, ['sql']) ?? root
  const node = root.entries?.get('sql')?.node ?? key
  const found = new RegExp(`\\{\\s*${name}\\s*:[^}]*\\}`).exec(text.slice(node.start, node.end))
  if (found === null) return key
  return { start: node.start + found.index, end: node.start + found.index + found[0].length }
}
