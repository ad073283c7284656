import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { openAnalytics } from '../../../connectors/clickhouse/index.ts'
import { startClickHouseHttp } from '../../services/clickhouse-http.ts'

const server = await startClickHouseHttp()
const analytics = await openAnalytics({ url: server.url })
const ours = [{ tenant: 'a' }]
afterEach(() => server.heal())
afterAll(async () => {
  await analytics.close()
  await server.stop()
})

async function define(sql: string): Promise<void> {
  const response = await fetch(server.url, { method: 'POST', body: sql })
  if (!response.ok) throw new Error(await response.text())
}

async function ask(sql: string): Promise<unknown[][]> {
  return (await analytics.query(sql, {}, undefined, ours)).rows.map((row) => Object.values(row))
}

beforeAll(async () => {
  for (const sql of [
    'CREATE TABLE sales (tenant String, n Int64, PROJECTION halves (SELECT n % 2, count() GROUP BY n % 2)) ENGINE = MergeTree ORDER BY n',
    "INSERT INTO sales VALUES ('a', 1), ('a', 2), ('b', 3), ('b', 4)",
    'CREATE VIEW seen AS SELECT tenant, n FROM sales',
    'CREATE VIEW summed AS SELECT tenant, sum(n) AS total FROM sales GROUP BY tenant',
    'CREATE VIEW nameless AS SELECT n FROM sales',
    'CREATE VIEW least AS SELECT tenant, n FROM sales WHERE n > {than:Int64}',
    'CREATE MATERIALIZED VIEW kept ENGINE = MergeTree ORDER BY n POPULATE AS SELECT tenant, n FROM sales',
    'CREATE MATERIALIZED VIEW all_summed ENGINE = SummingMergeTree ORDER BY tuple() POPULATE AS SELECT sum(n) AS n FROM sales',
    "CREATE TABLE merged AS sales ENGINE = Merge(currentDatabase(), '^sales$')",
    'CREATE TABLE joined (tenant String, n Int64) ENGINE = Join(ANY, LEFT, n)',
    'INSERT INTO joined SELECT tenant, n FROM sales',
    'CREATE TABLE numbers_seen (n Int64) ENGINE = Set',
    "CREATE DICTIONARY tenants (n UInt64, tenant String) PRIMARY KEY n SOURCE(CLICKHOUSE(TABLE 'sales')) LIFETIME(0) LAYOUT(FLAT())",
    "CREATE TABLE doubles (tenant Nullable(String), e Enum('a' = 1, 'b' = 2), f FixedString(3), n Int64) ENGINE = Memory",
    "INSERT INTO doubles VALUES ('a', 'a', 'a', 1), (NULL, 'b', 'b', 2)",
  ]) {
    await define(sql)
  }
})

test.each([
  ['a view', 'SELECT n FROM seen ORDER BY n', [[1], [2]]],
  ['a view that sums', 'SELECT * FROM summed', [['a', 3]]],
  ['a materialized view', 'SELECT n FROM kept ORDER BY n', [[1], [2]]],
  [
    'a projection',
    'SELECT n % 2, count() FROM sales GROUP BY n % 2 ORDER BY 1',
    [
      [0, 1],
      [1, 1],
    ],
  ],
  ['a Merge table', 'SELECT n FROM merged ORDER BY n', [[1], [2]]],
  ['IN with a table', "SELECT number FROM numbers(9) WHERE ('b', number) IN sales", []],
  ['view()', 'SELECT n FROM view(SELECT n FROM sales) ORDER BY n', [[1], [2]]],
  ['a NULL, which is nobody’s', 'SELECT n FROM doubles', [[1]]],
])('%s', async (_name, sql, expected) => {
  expect(await ask(sql)).toEqual(expected)
})

test.each(['nameless', 'all_summed', 'least(than = 1)'])(
  'the view %s, of which no such column is known, is an error',
  async (view) => {
    await expect(ask(`SELECT * FROM ${view}`)).rejects.toMatchObject({ code: 'row_filter_unknown_field' })
  },
)

test.each([
  ['a Join table', 'SELECT s.n, joined.tenant FROM sales s ANY LEFT JOIN joined USING (n)'],
  ['a Set table', 'SELECT 3 IN numbers_seen'],
  ['a dictionary', 'SELECT * FROM tenants'],
])('%s is refused: it is read where no filter is heeded', async (_name, sql) => {
  await expect(ask(sql)).rejects.toMatchObject({ code: 'row_filter_not_supported' })
})

test.each([{ e: 'a' }, { f: 'a' }, { e: 'a', f: 'a', tenant: 'a' }])('types that hold texts: %j', async (filter) => {
  expect((await analytics.query('SELECT n FROM doubles', {}, undefined, [filter])).rows).toEqual([{ n: 1 }])
})

test('no error shows what is in rows of others', async () => {
  await define('CREATE TABLE secrets (tenant String, text String, n UInt64) ENGINE = MergeTree ORDER BY n')
  await define("INSERT INTO secrets VALUES ('a', '7', 1), ('b', 'confidential', 2), ('a', '8', 3)")
  expect(await ask('SELECT n FROM secrets WHERE toUInt64(text) > 7')).toEqual([[3]])
  expect(await ask('SELECT n FROM secrets ORDER BY toUInt64(text)')).toEqual([[1], [3]])
  const early = ask('SELECT n FROM secrets PREWHERE toUInt64(text) > 7')
  await expect(early).rejects.toMatchObject({ code: 'row_filter_not_supported' })
})

test('where the setting gets lost on its way nothing is shown, until it arrives', async () => {
  const fresh = await openAnalytics({ url: server.url })
  server.drop('additional_table_filters')
  const asked = () => fresh.query('SELECT n FROM sales ORDER BY n', {}, undefined, ours)
  await expect(asked()).rejects.toMatchObject({ code: 'row_filter_not_applied' })
  expect((await fresh.query('SELECT count() AS n FROM sales')).rows).toEqual([{ n: 4 }])
  server.heal()
  expect((await asked()).rows).toEqual([{ n: 1 }, { n: 2 }])
  await fresh.close()
})
