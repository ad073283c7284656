import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Analytics, RejectedRows, type TableSpec } from '../../src/core/analytics.ts'
import { Fatal, InvalidInput } from '../../src/core/errors.ts'

export interface AnalyticsStorage {
  /** Opens the analytics on the same storage each time, with a limit of 1,000 rows a result and 2 s a query. */
  open(): Promise<Analytics>
  remove(): Promise<void>
}

/** What every ClickHouse must hold to, in the process or not. */
export function analyticsContract(name: string, prepare: () => Promise<AnalyticsStorage>): void {
  describe(`${name} is an analytics store`, () => {
    let storage: AnalyticsStorage
    let analytics: Analytics
    let tables = 0

    beforeAll(async () => {
      storage = await prepare()
      analytics = await storage.open()
    })
    afterAll(async () => {
      await analytics.close()
      await storage.remove()
    })

    const columns = [
      { name: 'id', type: 'Int64' },
      { name: 'text', type: 'String' },
    ]

    async function tableOf(changes: Partial<TableSpec> = {}): Promise<string> {
      const spec = { name: `t${++tables}`, columns, mode: 'append' as const, ...changes }
      await analytics.ensureTable(spec)
      return spec.name
    }

    async function all(table: string, order = 'id') {
      return (await analytics.query(`SELECT * FROM ${table} ORDER BY ${order}`)).rows
    }

    describe('tables', () => {
      test('a table is made once and stays', async () => {
        const table = await tableOf({
          orderBy: ['id'],
          partitionBy: 'id % 2',
          ttl: 'toDateTime(id) + INTERVAL 1000 YEAR',
        })
        await analytics.insert(table, [{ id: 1, text: 'a' }], 'one')
        await tableOf({ name: table })
        expect(await all(table)).toEqual([{ id: 1, text: 'a' }])
      })

      test('columns that a table lacks are added', async () => {
        const table = await tableOf()
        await analytics.insert(table, [{ id: 1, text: 'a' }], 'one')
        await tableOf({ name: table, columns: [...columns, { name: 'extra', type: 'Nullable(String)' }] })
        await analytics.insert(table, [{ id: 2, text: 'b', extra: 'x' }], 'two')
        expect(await all(table)).toEqual([
          { id: 1, text: 'a', extra: null },
          { id: 2, text: 'b', extra: 'x' },
        ])
      })

      test('the same type by another name is the same', async () => {
        const table = await tableOf()
        await tableOf({ name: table, columns: [{ name: 'id', type: 'BIGINT' }] })
      })

      test('another type is refused with both types', async () => {
        const table = await tableOf()
        const problem = await tableOf({ name: table, columns: [{ name: 'id', type: 'String' }] }).catch(
          (error) => error,
        )
        expect(problem).toBeInstanceOf(Fatal)
        expect(problem).toMatchObject({ code: 'column_type_mismatch', message: expect.stringMatching(/Int64.*String/) })
      })

      test.each([
        ['type', { columns: [{ name: 'id', type: 'Int65' }] }],
        ['two statements', { columns: [{ name: 'id', type: 'Int64); DROP TABLE t1; --' }] }],
        ['partition', { partitionBy: 'id); DROP TABLE t1; --' }],
        ['unknown order', { orderBy: ['nothing'] }],
      ])('a wrong definition is an error at once: %s', async (_, changes) => {
        const problem = await tableOf(changes).catch((error) => error)
        expect(problem instanceof Fatal || problem instanceof InvalidInput).toBe(true)
      })

      test('names are names, whatever they are', async () => {
        const odd = 'it`s "odd" \\ and; long'
        const table = await tableOf({ name: `odd ${tables}`, columns: [{ name: odd, type: 'String' }] })
        await analytics.insert(table, [{ [odd]: 'x' }], 'one')
        expect((await analytics.query(`SELECT count() AS n FROM "${table}"`)).rows).toEqual([{ n: 1 }])
      })

      test('tables are listed with rows and bytes', async () => {
        const table = await tableOf()
        await analytics.insert(table, [{ id: 1, text: 'a' }], 'one')
        const listed = (await analytics.tables()).find(({ name }) => name === table)
        expect(listed).toEqual({ name: table, rows: 1, bytes: expect.any(Number) })
      })
    })

    describe('inserts', () => {
      test('a repeated token is dropped, another is not', async () => {
        const table = await tableOf()
        await analytics.insert(table, [{ id: 1, text: 'a' }], 'one')
        await analytics.insert(table, [{ id: 1, text: 'a' }], 'one')
        await analytics.insert(table, [{ id: 2, text: 'b' }], 'one')
        expect(await all(table)).toHaveLength(1)
        await analytics.insert(table, [{ id: 1, text: 'a' }], 'two')
        expect(await all(table)).toHaveLength(2)
      })

      test('a token is remembered in each partition, and after reopening', async () => {
        const table = await tableOf({ partitionBy: 'id' })
        const rows = Array.from({ length: 150 }, (_, id) => ({ id, text: 'a' }))
        await analytics.insert(table, rows, 'one')
        await analytics.close()
        analytics = await storage.open()
        await analytics.insert(table, rows, 'one')
        expect(await all(table)).toHaveLength(150)
      })

      test('concurrent inserts keep their own tokens', async () => {
        const table = await tableOf()
        const inserts = Array.from({ length: 40 }, (_, id) =>
          analytics.insert(table, [{ id: id % 20, text: 'a' }], `token ${id % 20}`),
        )
        await Promise.all(inserts)
        expect((await all(table)).map(({ id }) => id)).toEqual(Array.from({ length: 20 }, (_, id) => id))
      })

      test('refused rows are all left out, and the error says which is to blame', async () => {
        const table = await tableOf()
        const rows = [
          { id: 1, text: 'a' },
          { id: 'x', text: 'b' },
        ]
        const problem = await analytics.insert(table, rows, 'one').catch((error) => error)
        expect(problem).toBeInstanceOf(RejectedRows)
        expect(problem.message).not.toMatch(/version|DB::Exception|\n/)
        expect(await all(table)).toEqual([])
        await analytics.insert(table, rows.slice(0, 1), 'one')
        expect(await all(table)).toHaveLength(1)
      })

      test('a table that is not there is fatal', async () => {
        await expect(analytics.insert('nothing', [{ id: 1 }], 'one')).rejects.toBeInstanceOf(Fatal)
      })

      test('columns that a row lacks get their default', async () => {
        const table = await tableOf()
        await analytics.insert(table, [{ id: 1 }, { text: 'b' }], 'one')
        expect(await all(table)).toEqual([
          { id: 0, text: 'b' },
          { id: 1, text: '' },
        ])
      })

      test('any text comes back as it went in', async () => {
        const table = await tableOf()
        const texts = ['', '\n', '\t\\', '"', "'", '\0', '🙂', '\\N', 'FORMAT', '; SELECT 1', '\u2028']
        await analytics.insert(
          table,
          texts.map((text, id) => ({ id, text })),
          "it's \\ a token",
        )
        expect((await all(table)).map(({ text }) => text)).toEqual(texts)
      })
    })

    describe('upsert', () => {
      const row = (_id: string, _version: number, text: string, _deleted = 0) => ({
        _id,
        _version,
        _deleted,
        id: 1,
        text,
      })

      test('the newest row of an id counts, and a deleted one does not', async () => {
        const table = await tableOf({ mode: 'upsert' })
        await analytics.insert(table, [row('a', 1, 'old'), row('b', 2, 'gone'), row('c', 3, 'kept')], 'one')
        await analytics.insert(table, [row('a', 4, 'new'), { _id: 'b', _version: 5, _deleted: 1 }], 'two')
        await analytics.insert(table, [row('a', 2, 'late')], 'three')
        expect(await all(table, 'text')).toEqual([
          { id: 1, text: 'kept' },
          { id: 1, text: 'new' },
        ])
        expect((await analytics.query(`SELECT count() AS n FROM ${table}`)).rows).toEqual([{ n: 2 }])
        expect((await analytics.tables()).find(({ name }) => name === table)?.rows).toBe(2)
      })

      test('deletion outlives the age of the row', async () => {
        const table = await tableOf({ mode: 'upsert', ttl: 'toDateTime(id) + INTERVAL 1 DAY', partitionBy: 'id' })
        const now = Math.floor(Date.now() / 1000)
        await analytics.insert(table, [{ ...row('a', 1, 'x'), id: now }], 'one')
        await analytics.insert(table, [{ _id: 'a', _version: 2, _deleted: 1 }], 'two')
        expect(await all(table)).toEqual([])
      })

      test('a table made for append is not taken for upsert', async () => {
        const table = await tableOf()
        await expect(tableOf({ name: table, mode: 'upsert' })).rejects.toMatchObject({ code: 'table_mode_mismatch' })
      })
    })

    describe('queries', () => {
      test('columns have names and types, numbers every digit', async () => {
        const result = await analytics.query(
          `SELECT toUInt64(7) AS small, toInt64(-9223372036854775808) AS large, toDecimal64('1.50', 2) AS money,
            toDecimal128('123456789012345678.5', 1) AS wealth, [toInt64(1), 9007199254740993] AS list,
            map('a', toUInt64(1)) AS map, NULL AS nothing, true AS yes, toNullable(toUInt64(5)) AS five`,
        )
        expect(result.columns.slice(0, 2)).toEqual([
          { name: 'small', type: 'UInt64' },
          { name: 'large', type: 'Int64' },
        ])
        expect(result.rows).toEqual([
          {
            small: 7,
            large: '-9223372036854775808',
            money: 1.5,
            wealth: '123456789012345678.5',
            list: [1, '9007199254740993'],
            map: { a: 1 },
            nothing: null,
            yes: true,
            five: 5,
          },
        ])
      })

      test('parameters are values, never SQL', async () => {
        const params = { text: `a'b"\\\n\t; DROP`, list: ['x', "y'"], number: 5, none: null }
        const sql =
          'SELECT {text:String} AS text, {list:Array(String)} AS list, {number:UInt8} AS number, {none:Nullable(String)} AS none'
        expect((await analytics.query(sql, params)).rows).toEqual([params])
      })

      test('a final semicolon and comments are fine', async () => {
        expect((await analytics.query('/* a */ SELECT 1 AS n -- ; DROP\n;\n')).rows).toEqual([{ n: 1 }])
      })

      test('a mistake is answered in the words of ClickHouse', async () => {
        const problem = await analytics.query('SELECT nothing FROM nowhere').catch((error) => error)
        expect(problem).toBeInstanceOf(InvalidInput)
        expect(problem.message).toMatch(/nowhere/)
      })

      test('a failed query leaves nothing behind for the next one', async () => {
        const failing = 'SELECT number, throwIf(number = 900) FROM numbers(1000) SETTINGS max_block_size = 10'
        const running = 'SELECT number, throwIf(number = 900) FROM numbers(1000)'
        for (let round = 0; round < 12; round += 1) {
          await expect(analytics.query(round % 2 === 0 ? failing : running)).rejects.toBeInstanceOf(InvalidInput)
          expect((await analytics.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }])
        }
      })

      test('too many rows, too long, too much memory', async () => {
        await expect(analytics.query('SELECT number FROM numbers(1001)')).rejects.toMatchObject({
          code: 'query_too_large',
        })
        const started = performance.now()
        const long = analytics.query('SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1')
        await expect(long).rejects.toMatchObject({ code: 'query_too_large' })
        expect(performance.now() - started).toBeLessThan(5_000)
        const fat = analytics.query('SELECT groupArray(number) FROM numbers(1000000000)')
        await expect(fat).rejects.toMatchObject({ code: 'query_too_large' })
      })

      test('an abandoned query ends', async () => {
        const abort = new AbortController()
        const long = analytics.query(
          'SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1',
          {},
          abort.signal,
        )
        const started = performance.now()
        setTimeout(() => abort.abort(), 200)
        await expect(long).rejects.toThrow()
        expect(performance.now() - started).toBeLessThan(1_500)
      })

      test('slow queries hold up neither inserts nor the event loop', async () => {
        const table = await tableOf()
        const slow = Array.from({ length: 6 }, () => analytics.query('SELECT sleep(1)'))
        let latest = 0
        let before = performance.now()
        const timer = setInterval(() => {
          latest = Math.max(latest, performance.now() - before)
          before = performance.now()
        }, 5)
        const started = performance.now()
        for (let id = 0; id < 20; id += 1) await analytics.insert(table, [{ id, text: 'a' }], `token ${id}`)
        expect(performance.now() - started).toBeLessThan(1_500)
        clearInterval(timer)
        expect(latest).toBeLessThan(300)
        await Promise.all(slow)
      })
    })

    describe('queries only read', () => {
      const listed = async () => (await analytics.tables()).map(({ name, rows }) => [name, rows])

      test.each([
        "INSERT INTO t1 VALUES (1, 'a')",
        'DROP TABLE t1',
        'CREATE TABLE x (a Int8) ENGINE = Memory',
        'CREATE TEMPORARY TABLE x (a Int8)',
        'ALTER TABLE t1 DROP COLUMN text',
        'TRUNCATE TABLE t1',
        'OPTIMIZE TABLE t1',
        'SET max_result_rows = 0',
        'SET ROLE writer',
        'USE system',
        'KILL QUERY WHERE 1',
        'SYSTEM SHUTDOWN',
        'GRANT ALL ON *.* TO default',
        'WITH 1 AS x INSERT INTO t1 SELECT x, 1',
        'SELECT 1; SELECT 2',
        'SELECT 1; SET ROLE writer',
        'SELECT 1 /* ; */ ; DROP TABLE t1',
        "SELECT ‘'’; DROP TABLE t1; SELECT ' '",
        "SELECT /* /* */ ' */ 1; DROP TABLE t1; SELECT ' '",
        "SELECT $a$ ' $a$; DROP TABLE t1; SELECT ' '",
        "SELECT 1 INTO OUTFILE '/tmp/millrace-test-outfile'",
        "SELECT 1 into/**/outfile '/tmp/millrace-test-outfile'",
        'SELECT number FROM numbers(2000) SETTINGS max_result_rows = 0',
        'SELECT 1 SETTINGS readonly = 0',
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT file('/etc/passwd')",
        "SELECT FILE ('/etc/passwd')",
        "SELECT `file`('/etc/passwd')",
        'SELECT "fil\\x65"(\'/etc/passwd\')',
        "SELECT `fi\\le`('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        'SELECT * FROM default.`/etc/passwd`',
        "DESCRIBE TABLE file('/etc/passwd')",
        "DESCRIBE TABLE url('http://127.0.0.1:1/x.csv')",
        "EXPLAIN SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT * FROM s3('https://bucket.s3.amazonaws.com/a.csv', 'CSV', 'a String')",
        "SELECT * FROM remote('127.0.0.1', 'system.one')",
        "SELECT * FROM cluster('default', 'system.one')",
        "SELECT * FROM executable('a.sh', TSV, 'x String')",
        "SELECT * FROM mysql('a:1', 'b', 'c', 'd', 'e')",
        "SELECT * FROM sqlite('/tmp/x', 'y')",
        "SELECT * FROM (SELECT * FROM file('/etc/passwd', 'LineAsString'))",
        'SELECT name FROM system.users',
        'SELECT query FROM system.query_log',
      ])('%s', async (sql) => {
        const before = await listed()
        await expect(analytics.query(sql)).rejects.toBeInstanceOf(InvalidInput)
        expect(await listed()).toEqual(before)
        expect((await analytics.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }])
      })

      test.each([
        'SHOW TABLES',
        'DESCRIBE TABLE t1',
        'SHOW CREATE TABLE t1',
        'EXPLAIN SELECT * FROM t1',
        'WITH x AS (SELECT 1 AS n) SELECT n FROM x',
        "SELECT 'file(' || 'INTO OUTFILE; DROP TABLE t1' AS text",
        '(SELECT 1) UNION ALL (SELECT 2)',
        'EXISTS TABLE t1',
        'SELECT name, total_rows FROM system.tables',
      ])('but read: %s', async (sql) => {
        await expect(analytics.query(sql)).resolves.toBeDefined()
      })
    })
  })
}
