import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { openAnalytics } from '../../../connectors/clickhouse/index.ts'
import { insertIsolating } from '../../../connectors/clickhouse/isolate.ts'
import type { Analytics } from '../../../src/core/analytics.ts'
import { errorAdvice, Fatal, InvalidInput, Retryable } from '../../../src/core/errors.ts'
import { type Certificates, makeCertificates } from '../../services/certificates.ts'
import { type ClickHouseServer, type Fault, startClickHouseHttp } from '../../services/clickhouse-http.ts'

const limits = { rows: 100_000, timeMs: 1_000, memoryBytes: 256 * 1024 * 1024 }
const columns = [
  { name: 'n', type: 'Int64' },
  { name: 'ip', type: 'IPv4' },
]
const inserts = /^INSERT/
let tables = 0

async function newTable(analytics: Analytics): Promise<string> {
  const name = `http_${++tables}`
  await analytics.ensureTable({ name, columns, mode: 'append', orderBy: ['n'] })
  return name
}

async function numbersIn(analytics: Analytics, table: string): Promise<unknown[]> {
  return (await analytics.query(`SELECT n FROM ${table} ORDER BY n`)).rows.map(({ n }) => n)
}

const good = (n: number) => ({ n, ip: '10.0.0.1' })
const bad = (n: number) => ({ n, ip: `nowhere ${n}` })

describe('a server in trouble', () => {
  let server: ClickHouseServer
  let analytics: Analytics

  beforeAll(async () => {
    server = await startClickHouseHttp()
    analytics = await openAnalytics({ url: server.url, limits })
  })
  afterEach(() => server.heal())
  afterAll(async () => {
    await analytics.close()
    await server.stop()
  })

  test.each<[fault: Fault, said: RegExp]>([
    ['reset', /ECONNRESET|socket hang up/],
    ['proxy', /status 503 Service Unavailable/],
    ['busy', /status 429 slow down/],
    ['lost', /ECONNRESET|socket hang up/],
    ['cut', /aborted/],
    ['late', /memory limit exceeded/],
  ])('%s: an insert is worth another try, which is harmless', async (fault, said) => {
    const table = await newTable(analytics)
    server.fail(fault, 1, inserts)
    const problem = await analytics.insert(table, [good(1), good(2)], 'one').catch((error) => error)
    expect(problem).toBeInstanceOf(Retryable)
    expect(problem.message).toMatch(said)
    expect(problem.message).toContain(`ClickHouse at ${server.url}: insert into ${table}: `)
    if (fault === 'busy') expect(problem.delayMs).toBe(1000)
    await analytics.insert(table, [good(1), good(2)], 'one')
    expect(await numbersIn(analytics, table)).toEqual([1, 2])
  })

  test.each<Fault>(['reset', 'proxy', 'cut', 'late'])('%s: so is a query', async (fault) => {
    server.fail(fault, 1)
    const problem = await analytics.query('SELECT number FROM numbers(100)').catch((error) => error)
    // Memory is a matter of the query; nothing else is.
    expect(problem).toBeInstanceOf(fault === 'late' ? InvalidInput : Retryable)
    expect((await analytics.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }])
  })

  test.each<Fault>(['reset', 'proxy', 'lost', 'cut', 'late'])('%s: and a definition', async (fault) => {
    const spec = { name: `http_${++tables}`, columns, mode: 'append' as const }
    server.fail(fault, 1, /^CREATE/)
    await expect(analytics.ensureTable(spec)).rejects.toBeInstanceOf(Retryable)
    await analytics.ensureTable(spec)
    await analytics.insert(spec.name, [good(1)], 'one')
    expect(await numbersIn(analytics, spec.name)).toEqual([1])
  })

  test('a server that does not answer is given up', async () => {
    server.fail('hang', 1)
    await expect(analytics.query('SELECT 1')).rejects.toBeInstanceOf(Retryable)
  }, 15_000)

  test('a server that is away for a while is found again', async () => {
    const table = await newTable(analytics)
    await server.down()
    const problem = await analytics.insert(table, [good(1)], 'one').catch((error) => error)
    expect(problem).toBeInstanceOf(Retryable)
    expect(problem.message).toContain('ECONNREFUSED')
    await expect(analytics.query('SELECT 1')).rejects.toBeInstanceOf(Retryable)
    await server.up()
    await analytics.insert(table, [good(1)], 'one')
    expect(await numbersIn(analytics, table)).toEqual([1])
  })

  test('a materialized view that fails holds up the block, whose rows are in the table once', async () => {
    const table = await newTable(analytics)
    const order = async (sql: string) => expect((await fetch(server.url, { method: 'POST', body: sql })).ok).toBe(true)
    const to = 'ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 100'
    await order(`CREATE MATERIALIZED VIEW view_${table} ${to} AS SELECT n + throwIf(n = 3, 'three') AS n FROM ${table}`)
    const rows = [1, 2, 3, 4].map((n, index) => ({ index, row: good(n) }))
    for (let tries = 0; tries < 3; tries += 1) {
      const problem = await insertIsolating(analytics, table, rows, 'p/t/0/0-4').catch((error) => error)
      expect(problem).toBeInstanceOf(Retryable)
      expect(errorAdvice(problem)).toMatch(new RegExp(`three.*its materialized view \\S*view_${table} does not take`))
      expect(await numbersIn(analytics, table)).toEqual([1, 2, 3, 4])
    }
    await order(`ALTER TABLE view_${table} MODIFY QUERY SELECT n FROM ${table}`)
    expect(await insertIsolating(analytics, table, rows, 'p/t/0/0-4')).toEqual([])
    expect(await numbersIn(analytics, table)).toEqual([1, 2, 3, 4])
    expect(await numbersIn(analytics, `view_${table}`)).toEqual([1, 2, 3, 4])
  })

  test('no more than eight inserts run side by side', async () => {
    const table = await newTable(analytics)
    server.fail('hang', 8, inserts)
    const before = server.statements.length
    const pending = Array.from({ length: 20 }, (_, n) => analytics.insert(table, [good(n)], `token ${n}`))
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(server.statements.length - before).toBe(8)
    await server.down()
    await server.up()
    const settled = await Promise.allSettled(pending)
    expect(settled.filter(({ status }) => status === 'rejected').length).toBeGreaterThanOrEqual(8)
  })

  test('a database that is not there is named', async () => {
    const other = await openAnalytics({ url: server.url, database: 'nowhere', limits })
    const problem = await other.ensureTable({ name: 't', columns, mode: 'append' }).catch((error) => error)
    expect(problem).toBeInstanceOf(Fatal)
    expect(errorAdvice(problem)).toMatch(
      /ClickHouse at http:.*nowhere.*create it, or name another in clickhouse\.database/,
    )
    await other.close()
  })

  test('requests are compressed on their way to another machine, and not within one', async () => {
    const table = await newTable(analytics)
    // An address that leads here, but does not say so.
    const far = await openAnalytics({ url: server.url.replace('127.0.0.1', '0.0.0.0'), limits })
    const rows = Array.from({ length: 3_000 }, (_, n) => good(n))
    await far.insert(table, rows, 'one')
    expect(server.requests.at(-1)?.encoding).toBe('gzip')
    await analytics.insert(table, rows, 'two')
    expect(server.requests.at(-1)?.encoding).toBeUndefined()
    expect(await numbersIn(analytics, table)).toHaveLength(6_000)
    await far.close()
  })

  describe('bad rows', () => {
    const refused = [3, 17, 18, 40]
    const rows = Array.from({ length: 50 }, (_, index) => ({
      index,
      row: (refused.includes(index) ? bad : good)(index),
    }))
    const accepted = rows.map(({ index }) => index).filter((index) => !refused.includes(index))

    /** As the engine does: again and again under the same token. */
    async function untilDone(table: string): Promise<{ tries: number; indices: number[] }> {
      for (let tries = 1; ; tries += 1) {
        try {
          const rejections = await insertIsolating(analytics, table, rows, 'p/t/0/0-50')
          return { tries, indices: rejections.map(({ index }) => index).sort((a, b) => a - b) }
        } catch (error) {
          expect(error).toBeInstanceOf(Retryable)
          server.heal()
        }
      }
    }

    test.each<Fault>(['reset', 'lost', 'cut'])(
      '%s: each insert on the way may fail, and every row is in once',
      async (fault) => {
        const calm = await newTable(analytics)
        const before = server.statements.length
        expect(await untilDone(calm)).toEqual({ tries: 1, indices: refused })
        const steps = server.statements.slice(before).filter((sql) => inserts.test(sql)).length
        expect(steps).toBeGreaterThan(5)
        for (let step = 0; step < steps; step += 1) {
          const table = await newTable(analytics)
          const insertsSoFar = () =>
            server.statements.filter((sql) => sql.includes(`\`${table}\``) && inserts.test(sql)).length
          server.fail(fault, 1, { test: () => insertsSoFar() > step })
          expect(await untilDone(table)).toEqual({ tries: 2, indices: refused })
          expect(await numbersIn(analytics, table)).toEqual(accepted)
        }
      },
      60_000,
    )
  })
})

describe('users', () => {
  const password = 'correct horse battery'
  let server: ClickHouseServer

  beforeAll(async () => {
    server = await startClickHouseHttp({ users: { writer: password } })
  })
  afterAll(() => server.stop())

  test('a user and a password open the door', async () => {
    const analytics = await openAnalytics({ url: server.url, username: 'writer', password, limits })
    expect((await analytics.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }])
    await analytics.close()
  })

  test('a wrong one does not, at once and without being shown', async () => {
    const wrong = 'wrong horse battery'
    const analytics = await openAnalytics({ url: server.url, username: 'writer', password: wrong, limits })
    const problems = await Promise.all([
      analytics.ensureTable({ name: 't', columns, mode: 'append' }).catch((error) => error),
      analytics.insert('t', [good(1)], 'one').catch((error) => error),
      analytics.query('SELECT 1').catch((error) => error),
    ])
    for (const problem of problems) {
      expect(problem).toBeInstanceOf(Fatal)
      expect(errorAdvice(problem)).toMatch(/check clickhouse\.username and clickhouse\.password/)
      expect(`${problem.stack}${JSON.stringify(problem)}${String(problem.cause)}`).not.toContain(wrong)
    }
    await analytics.close()
  })

  test('an address with a password in it is shown without', async () => {
    const url = server.url.replace('//', '//writer:secret-in-url@')
    const analytics = await openAnalytics({ url, username: 'writer', password, limits })
    await server.down()
    const problem = await analytics.query('SELECT 1').catch((error) => error)
    await server.up()
    expect(problem.message).toContain(`ClickHouse at ${server.url}`)
    expect(problem.message).not.toContain('secret-in-url')
    await analytics.close()
  })
})

describe('TLS', () => {
  let folder: string
  let certificates: Certificates
  let server: ClickHouseServer

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'millrace-clickhouse-tls-'))
    certificates = await makeCertificates(folder)
    const [ca, cert, key] = await Promise.all(
      [certificates.authority, certificates.server.certificate, certificates.server.key].map((path) =>
        readFile(path, 'utf8'),
      ),
    )
    server = await startClickHouseHttp({ tls: { ca, cert: cert ?? '', key: key ?? '' }, users: { default: 'secret' } })
  })
  afterAll(async () => {
    await server.stop()
    await rm(folder, { recursive: true, force: true })
  })

  const own = () => ({
    url: server.url,
    ca: certificates.authority,
    cert: certificates.client.certificate,
    key: certificates.client.key,
    limits,
  })

  test('both sides show a certificate, and the user a password', async () => {
    const analytics = await openAnalytics({ ...own(), password: 'secret' })
    const table = await newTable(analytics)
    await analytics.insert(table, [good(1)], 'one')
    expect(await numbersIn(analytics, table)).toEqual([1])
    await analytics.close()
  })

  test('without a password the certificate stands for it', async () => {
    const analytics = await openAnalytics(own())
    expect((await analytics.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }])
    await analytics.close()
  })

  test('queries that hang hold up no insert', async () => {
    const analytics = await openAnalytics({ ...own(), password: 'secret' })
    const table = await newTable(analytics)
    server.fail('hang', 8, /^SELECT/)
    const queries = Array.from({ length: 8 }, () => analytics.query(`SELECT n FROM ${table}`).catch(() => 'query'))
    await expect.poll(() => server.statements.filter((sql) => sql.startsWith(`SELECT n FROM ${table}`)).length).toBe(8)
    expect(await Promise.race([analytics.insert(table, [good(1)], 'one').then(() => 'insert'), ...queries])).toBe(
      'insert',
    )
    await Promise.all(queries)
    server.heal()
    await analytics.close()
  }, 20_000)

  test('an authority that is not trusted, or no certificate of ours, is told at once', async () => {
    const untrusting = await openAnalytics({ ...own(), ca: undefined })
    const problem = await untrusting.query('SELECT 1').catch((error) => error)
    expect(problem).toMatchObject({ code: 'clickhouse_tls' })
    expect(errorAdvice(problem)).toMatch(/ClickHouse at https:.*clickhouse\.ca/)
    const anonymous = await openAnalytics({ ...own(), cert: undefined, key: undefined, password: 'secret' })
    await expect(anonymous.query('SELECT 1')).rejects.toBeDefined()
    await untrusting.close()
    await anonymous.close()
  })

  test('plain text to a secure port does not hang', async () => {
    const analytics = await openAnalytics({ url: server.url.replace('https', 'http'), limits })
    await expect(analytics.query('SELECT 1')).rejects.toBeInstanceOf(Retryable)
    await analytics.close()
  })

  test.each([
    [{ ca: '/nowhere/ca.pem' }, /clickhouse\.ca.*\/nowhere\/ca\.pem/],
    [{ key: undefined }, /clickhouse\.cert and clickhouse\.key go together/],
  ])('files that are not there are named: %j', async (changes, said) => {
    await expect(openAnalytics({ ...own(), ...changes })).rejects.toThrow(said)
  })
})
