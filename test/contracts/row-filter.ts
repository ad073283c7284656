import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Analytics } from '../../src/core/analytics.ts'
import type { RowFilter } from '../../src/core/principal.ts'
import type { AnalyticsStorage } from './analytics.ts'

/** A tenant sees its own rows and no others, however a query asks for them. */
export function rowFilterContract(name: string, prepare: () => Promise<AnalyticsStorage>): void {
  describe(`${name} shows rows by a filter`, () => {
    let storage: AnalyticsStorage
    let analytics: Analytics
    const ours: RowFilter = [{ tenant: 'a' }]

    beforeAll(async () => {
      storage = await prepare()
      analytics = await storage.open()
      const columns = [
        { name: 'tenant', type: 'LowCardinality(String)' },
        { name: 'n', type: 'Int64' },
      ]
      const rows = [
        { tenant: 'a', n: 1 },
        { tenant: 'a', n: 2 },
        { tenant: 'b', n: 3 },
        { tenant: 'b', n: 4 },
      ]
      for (const table of ['sales', 'visits']) {
        await analytics.ensureTable({ name: table, columns, mode: 'append', partitionBy: 'tenant' })
        await analytics.insert(table, rows, table)
      }
      await analytics.ensureTable({ name: 'owners', columns, mode: 'upsert' })
      const person = (_id: string, _version: number, tenant: string) => ({ _id, _version, _deleted: 0, tenant, n: 1 })
      await analytics.insert('owners', [person('x', 1, 'a'), person('y', 1, 'a')], 'one')
      await analytics.insert('owners', [person('x', 2, 'b')], 'two')
      await analytics.ensureTable({ name: 'weather', columns: [{ name: 'n', type: 'Int64' }], mode: 'append' })
      await analytics.insert('weather', [{ n: 1 }, { n: 3 }], 'weather')
    })
    afterAll(async () => {
      await analytics.close()
      await storage.remove()
    })

    /** The values of the rows, one list for each. */
    async function ask(sql: string, rows: RowFilter | undefined = ours): Promise<unknown[][]> {
      return (await analytics.query(sql, {}, undefined, rows)).rows.map((row) => Object.values(row))
    }

    test.each([
      ['a table', 'SELECT n FROM sales ORDER BY n', [[1], [2]]],
      ['a count, which needs no rows', 'SELECT count() FROM sales', [[2]]],
      ['what parts know without their rows', 'SELECT min(n), max(n), max(tenant) FROM sales', [[1, 2, 'a']]],
      ['different values', 'SELECT DISTINCT tenant FROM sales', [['a']]],
      ['another condition', "SELECT n FROM sales WHERE tenant = 'b' OR n > 0 ORDER BY n", [[1], [2]]],
      ['an alias', 'SELECT other.n FROM sales AS other ORDER BY n', [[1], [2]]],
      ['an alias that is another table', 'SELECT weather.n FROM sales AS weather ORDER BY n', [[1], [2]]],
      [
        'a value with the name of the field',
        "SELECT 'a' AS tenant, n FROM sales ORDER BY n",
        [
          ['a', 1],
          ['a', 2],
        ],
      ],
      ['a constant with the name of the field', "WITH 'a' AS tenant SELECT n FROM sales ORDER BY n", [[1], [2]]],
      ['quoted names', 'SELECT `n` FROM "sales" ORDER BY n', [[1], [2]]],
      ['a subquery', 'SELECT sum(n) FROM (SELECT n FROM sales)', [[3]]],
      ['a subquery as a value', 'SELECT (SELECT max(n) FROM sales)', [[2]]],
      ['EXISTS', 'SELECT exists(SELECT 1 FROM sales WHERE n = 3)', [[0]]],
      ['a common table expression', 'WITH c AS (SELECT n FROM sales) SELECT sum(n) FROM c', [[3]]],
      [
        'a join',
        'SELECT s.n, v.n FROM sales s JOIN visits v ON s.n = v.n ORDER BY 1',
        [
          [1, 1],
          [2, 2],
        ],
      ],
      [
        'the outer side of a join',
        'SELECT v.n FROM (SELECT 9 AS n) s FULL JOIN visits v ON s.n = v.n WHERE v.n > 0 ORDER BY 1',
        [[1], [2]],
      ],
      ['a comma', 'SELECT count() FROM sales, visits', [[4]]],
      [
        'a union',
        'SELECT n FROM (SELECT n FROM sales UNION ALL SELECT n FROM visits) ORDER BY n',
        [[1], [1], [2], [2]],
      ],
      ['a union in parentheses', '(SELECT max(n) FROM sales) UNION DISTINCT (SELECT max(n) FROM visits)', [[2]]],
      ['IN with a query', 'SELECT number FROM numbers(9) WHERE number IN (SELECT n FROM sales)', [[1], [2]]],
      ['GLOBAL IN', 'SELECT n FROM sales WHERE n GLOBAL IN (SELECT n FROM visits) ORDER BY n', [[1], [2]]],
      [
        'a window',
        'SELECT n, count() OVER () FROM sales ORDER BY n',
        [
          [1, 2],
          [2, 2],
        ],
      ],
      ['ARRAY JOIN', 'SELECT n FROM sales ARRAY JOIN [1, 2] AS twice ORDER BY n', [[1], [1], [2], [2]]],
      ['the newest rows alone: a row that another tenant has now is not shown', 'SELECT count() FROM owners', [[1]]],
      ['FINAL', 'SELECT _id FROM owners FINAL', [['y']]],
      ['a condition on the id', "SELECT count() FROM owners WHERE _id = 'x'", [[0]]],
      ['no table at all', 'SELECT 1', [[1]]],
    ])('%s', async (_name, sql, expected) => {
      expect(await ask(sql)).toEqual(expected)
    })

    test('without a filter everything is seen, also after one', async () => {
      expect(await ask('SELECT count() FROM sales')).toEqual([[2]])
      expect((await analytics.query('SELECT count() AS n FROM sales')).rows).toEqual([{ n: 4 }])
    })

    test('queries of several tenants side by side see each their own', async () => {
      const tenants = Array.from({ length: 12 }, (_, index) => (index % 3 === 0 ? 'a' : index % 3 === 1 ? 'b' : 'c'))
      const answers = await Promise.all(
        tenants.map((tenant) => ask('SELECT arraySort(groupArray(n)) FROM sales', [{ tenant }])),
      )
      expect(answers).toEqual(tenants.map((tenant) => [[{ a: [1, 2], b: [3, 4], c: [] }[tenant]]]))
    })

    test('alternatives, and several fields of one', async () => {
      expect(await ask('SELECT n FROM sales ORDER BY n', [{ tenant: 'a', n: 2 }, { n: 3 }])).toEqual([[2], [3]])
      expect(await ask('SELECT n FROM sales ORDER BY n', [{ tenant: 'a', n: 3 }])).toEqual([])
      expect(await ask('SELECT n FROM sales', [])).toEqual([])
    })

    test('values of another type than their column are compared by their text', async () => {
      expect(await ask('SELECT n FROM sales', [{ n: '2' }])).toEqual([[2]])
      expect(await ask('SELECT n FROM sales', [{ n: 'x' }])).toEqual([])
      expect(await ask('SELECT n FROM sales', [{ n: 2.5 }])).toEqual([])
      expect(await ask('SELECT n FROM sales', [{ tenant: true }])).toEqual([])
      expect(await ask('SELECT n FROM sales', [{ tenant: 1 }])).toEqual([])
    })

    test.each([
      "o'brien",
      "a' OR 1 = 1 --",
      "\\' OR 1 = 1 --",
      "'}, {'",
      'back\\slash\\',
      'line\nand\ttab',
      "''",
      '{x:String}',
      'ü€𝄞',
    ])('the value %j is that value and nothing else', async (tenant) => {
      const table = `odd${[...tenant].reduce((sum, sign) => sum * 31 + (sign.codePointAt(0) ?? 0), 7) % 1_000_003}`
      const columns = [{ name: 'tenant', type: 'String' }]
      await analytics.ensureTable({ name: table, columns, mode: 'append' })
      await analytics.insert(table, [{ tenant }, { tenant: 'other' }, { tenant: '' }], 'one')
      expect(await ask(`SELECT tenant FROM ${table}`, [{ tenant }])).toEqual([[tenant]])
    })

    test('a table without the field is an error, never its rows', async () => {
      const problem = {
        code: 'row_filter_unknown_field',
        message: expect.stringContaining('weather has no column "tenant"'),
      }
      for (const sql of [
        'SELECT * FROM weather',
        'SELECT count() FROM weather',
        'SELECT * FROM weather AS sales',
        'SELECT 3 IN (SELECT n FROM weather)',
        'WITH c AS (SELECT n FROM weather) SELECT * FROM sales JOIN c ON c.n = sales.n',
      ]) {
        await expect(ask(sql), sql).rejects.toMatchObject(problem)
      }
      await expect(ask('SELECT n FROM sales', [{ tenant: 'a' }, { region: 'eu' }])).rejects.toMatchObject({
        code: 'row_filter_unknown_field',
        message: expect.stringContaining('"region"'),
      })
      expect((await analytics.query('SELECT count() AS n FROM weather')).rows).toEqual([{ n: 2 }])
    })

    test('a field within another is the column of its name, or the one with underscores', async () => {
      const columns = [
        { name: 'customer_id', type: 'String' },
        { name: 'id', type: 'String' },
      ]
      await analytics.ensureTable({ name: 'nested', columns, mode: 'append' })
      const rows = [
        { customer_id: 'c1', id: 'x' },
        { customer_id: 'x', id: 'c1' },
      ]
      await analytics.insert('nested', rows, 'one')
      expect(await ask('SELECT id FROM nested', [{ 'customer.id': 'c1' }])).toEqual([['x']])
      await expect(ask('SELECT id FROM nested', [{ 'owner.id': 'c1' }])).rejects.toMatchObject({
        code: 'row_filter_unknown_field',
        message: expect.stringContaining('"owner.id" or "owner_id"'),
      })
    })

    test.each([
      ['settings of its own', 'SELECT n FROM sales SETTINGS additional_table_filters = {}'],
      ['another database', 'SELECT name FROM system.tables'],
      ['another database, quoted', 'SELECT name FROM `system`."tables"'],
      ['what describes tables', 'DESCRIBE sales'],
      ['a plan', 'EXPLAIN ESTIMATE SELECT * FROM sales'],
      ['merge()', "SELECT n FROM merge('^sales$')"],
      ['joinGet()', "SELECT joinGet('sales', 'tenant', 1)"],
      ['dictGet()', "SELECT dictGet('sales', 'tenant', 1)"],
      ['mergeTreeIndex()', "SELECT count() FROM mergeTreeIndex(currentDatabase(), 'sales')"],
      ['a table that a parameter names', 'SELECT * FROM {t:Identifier}'],
      ['names with escapes', 'SELECT n FROM `sal\\x65s`'],
    ])('%s is refused', async (_name, sql) => {
      await expect(ask(sql)).rejects.toMatchObject({ code: 'row_filter_not_supported' })
    })
  })
}
