import { expect, test } from 'vitest'
import { tablesRead } from '../../../src/core/clickhouse/tables-read.ts'

test.each([
  ['SELECT * FROM t', ['t']],
  ['SELECT * FROM shop.orders AS o', ['orders']],
  ['SELECT * FROM `my table` FINAL WHERE x', ['my table']],
  ['SELECT * FROM a, b AS x, c y FINAL, d', ['a', 'b', 'c', 'd']],
  ['SELECT * FROM a JOIN b ON a.x = b.x LEFT JOIN c USING x', ['a', 'b', 'c']],
  ['SELECT * FROM (SELECT * FROM inside) AS q', ['inside']],
  ['WITH recent AS (SELECT * FROM t) SELECT * FROM recent JOIN recent AS again USING x', ['t']],
  ['WITH 1 AS one SELECT * FROM t WHERE x IN (SELECT y FROM u) AND z GLOBAL IN w', ['t', 'u', 'w']],
  ['SELECT * FROM numbers(10)', []],
  ['SELECT * FROM t UNION ALL SELECT * FROM u ORDER BY x', ['t', 'u']],
  ["SELECT 'FROM x' FROM t -- FROM y", ['t']],
  ['SELECT 1', []],
])('%s', (sql, tables) => {
  expect(tablesRead(sql)).toEqual(tables)
})
