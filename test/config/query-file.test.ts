import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { glob } from 'tinyglobby'
import { describe, expect, test } from 'vitest'
import { formatProblem } from '../../src/config/problem.ts'
import { parseQuery } from '../../src/config/query-file.ts'

const good = `description: Tickets by category
sql: |
  SELECT category, count() AS n FROM tickets
  WHERE at > now() - toIntervalHour({hours:UInt32}) AND tenant = {tenant:String}
  GROUP BY category ORDER BY category
params:
  hours: { type: UInt32, default: 24, description: How far back }
  tenant: { type: String, claim: tenant }
refresh: 1m
`

/** `line:column code` of each problem. */
function places(text: string): string[] {
  return parseQuery(text, 'queries/q.yaml').problems.map(({ line, column, code }) => `${line}:${column} ${code}`)
}

test('a query has the name of its file, and the tables of its SQL', () => {
  const { query, problems } = parseQuery(good, 'queries/by-category.yaml')
  expect(problems).toEqual([])
  expect(query).toEqual({
    name: 'by-category',
    description: 'Tickets by category',
    sql: expect.stringContaining('SELECT category'),
    params: {
      hours: { type: 'UInt32', default: 24, description: 'How far back' },
      tenant: { type: 'String', claim: 'tenant' },
    },
    tables: ['tickets'],
    refresh: 60_000,
  })
})

test('a name, tables and the short form of a parameter', () => {
  const text =
    'name: mine\nsql: SELECT n FROM seen WHERE n > {least:UInt8} ORDER BY n\nparams: { least: UInt8 }\ntables: [t]\n'
  expect(parseQuery(text, 'q.yaml')).toEqual({
    query: {
      name: 'mine',
      description: undefined,
      sql: 'SELECT n FROM seen WHERE n > {least:UInt8} ORDER BY n',
      params: { least: { type: 'UInt8' } },
      tables: ['t'],
      refresh: undefined,
    },
    problems: [],
  })
})

describe('what is wrong is told with its place', () => {
  const base = 'sql: SELECT n FROM t WHERE n > {least:UInt8} ORDER BY n\nparams: { least: UInt8 }\n'

  test.each([
    ['nothing at all', '', ['1:1 empty_file']],
    ['a list', '- a\n', ['1:1 wrong_type']],
    ['no SQL', 'params: {}\n', ['1:1 missing_option']],
    ['an unknown key', `${base}parms: {}\n`, ['3:1 unknown_key']],
    ['a name that is none', `name: My Query\n${base}`, ['1:7 bad_value']],
    ['the name of SQL by anyone', `name: sql\n${base}`, ['1:7 bad_value']],
    [
      'a placeholder without a parameter',
      base.replace('{ least:', '{ leats:'),
      ['1:32 unknown_parameter', '2:11 unused_parameter'],
    ],
    ['types that differ', base.replace('{ least: UInt8 }', '{ least: UInt16 }'), ['2:11 parameter_type_mismatch']],
    ['a type that is none', base.replace('{ least: UInt8 }', '{ least: "UInt8(" }'), ['2:18 bad_value']],
    [
      'a parameter for a name',
      'sql: SELECT 1 FROM {t:Identifier} LIMIT 1\nparams: { t: Identifier }\n',
      ['2:14 bad_value'],
    ],
    ['a default and a claim', base.replace(' UInt8 }', ' { type: UInt8, default: 1, claim: c } }'), ['2:52 bad_value']],
    ['a default that does not fit', base.replace(' UInt8 }', ' { type: UInt8, default: 300 } }'), ['2:42 bad_default']],
    ['no SELECT', 'sql: SHOW TABLES\n', ['1:1 query_not_allowed']],
    ['a writing statement', 'sql: DROP TABLE t\n', ['1:1 query_not_allowed']],
    ['a file', "sql: SELECT * FROM file('/etc/passwd') LIMIT 1\n", ['1:1 query_not_allowed']],
    ['an open quote', `sql: "SELECT 'x"\n`, ['1:1 query_failed']],
    ['a refresh that is too short', `${base}refresh: 10ms\n`, ['3:10 bad_value']],
  ])('%s', (_name, text, expected) => {
    expect(places(text)).toEqual(expected)
    expect(parseQuery(text, 'q.yaml').query).toBeUndefined()
  })

  test('with the name that was meant', () => {
    const text = base.replace('{ least:', '{ leats:')
    const messages = parseQuery(text, 'q.yaml').problems.map((problem) => formatProblem(problem, text))
    expect(messages[0]).toContain('takes a parameter "least", which "params" does not have, did you mean "leats"?')
    expect(messages[0]).toContain('^^^^^^^^^^^^^')
    expect(messages[1]).toContain('did you mean "least"?')
  })
})

describe('rows without an order', () => {
  test.each([
    'SELECT n FROM t',
    'SELECT category, count() FROM t GROUP BY category',
    'SELECT n FROM (SELECT n FROM t ORDER BY n)',
    'SELECT n, count() OVER (ORDER BY n) FROM t',
    'SELECT n FROM t LIMIT 1 BY n',
    'SELECT n FROM t LIMIT 10',
  ])('%s: a warning', (sql) => {
    const { query, problems } = parseQuery(`sql: ${sql}\n`, 'q.yaml')
    expect(problems).toMatchObject([{ severity: 'warning', code: 'query_without_order' }])
    expect(query).toBeDefined()
  })

  test.each([
    'SELECT n FROM t ORDER BY n',
    'SELECT count() FROM t',
    'SELECT sumIf(n, n > 1), max(n) FROM t',
    'SELECT n FROM t LIMIT 1',
    'WITH x AS (SELECT n FROM t) SELECT max(n) FROM x',
  ])('%s: none', (sql) => {
    expect(parseQuery(`sql: ${sql}\n`, 'q.yaml').problems).toEqual([])
  })
})

test('a query that depends on nothing that changes is a warning', () => {
  expect(places('sql: SELECT now()\n')).toEqual(['1:1 query_never_changes'])
  expect(places('sql: SELECT now()\nrefresh: 1s\n')).toEqual([])
  expect(places('sql: SELECT now()\ntables: [t]\n')).toEqual([])
})

test('whatever the file says, reading it never throws, and every problem has a place in it', () => {
  const sign = fc.constantFrom(
    'sql:',
    ' SELECT',
    ' {a:',
    'UInt8}',
    '\nparams:',
    ' { a:',
    ' }',
    "'",
    '"',
    '\n',
    ' ',
    'x',
    '\\',
    '(',
    ')',
  )
  fc.assert(
    fc.property(
      fc.oneof(
        fc.array(sign).map((signs) => signs.join('')),
        fc.string(),
      ),
      (text) => {
        for (const { line, column } of parseQuery(text, 'q.yaml').problems) {
          expect(line).toBeGreaterThan(0)
          expect(column).toBeGreaterThan(0)
          expect(line).toBeLessThanOrEqual(text.split('\n').length)
        }
      },
    ),
  )
})

test('the queries that come along have no problem', async () => {
  const folder = join(import.meta.dirname, '../../queries')
  const files = await glob('*.yaml', { cwd: folder, absolute: true })
  expect(files.length).toBeGreaterThan(1)
  for (const file of files) expect(parseQuery(await readFile(file, 'utf8'), file).problems).toEqual([])
})
