import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { openAnalytics } from '../../../connectors/clickhouse/index.ts'
import { insertIsolating } from '../../../connectors/clickhouse/isolate.ts'
import { type Rejection, Retryable } from '../../../src/core/errors.ts'
import { startClickHouseServer } from '../../services/clickhouse-server.ts'

const script = join(import.meta.dirname, '../../../dist/test/support/analytics-writer.js')

test('killed in the midst of inserts and repeated: every row is there once', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-chdb-kill-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  let next = 0
  let furthest = 0
  for (const life of [900, 150, 50, 10]) {
    const done = await runAndKill(folder, next, life)
    // One that was answered is repeated too, as after a commit that was lost.
    next = Math.max(0, done - 1)
    // The one after it was under way and may be there in part, in a life that came further than those after it.
    furthest = Math.max(furthest, done + 1)
  }
  const analytics = await openAnalytics({ embedded: folder })
  onTestFinished(() => analytics.close())
  for (let block = next; block <= furthest; block += 1) {
    const rows = Array.from({ length: 100 }, (_, at) => ({ n: block * 100 + at }))
    await analytics.insert('rows', rows, `block ${block}`)
  }
  const { rows } = await analytics.query('SELECT count() AS count, uniqExact(n) AS different, max(n) AS most FROM rows')
  expect(rows).toHaveLength(1)
  const [{ count, different, most } = {}] = rows
  expect(Number(count)).toBeGreaterThan(500)
  expect(different).toBe(count)
  expect(most).toBe(Number(count) - 1)
})

test('a folder that another process has open is refused, and free once that is gone', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-chdb-lock-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const child = spawn(process.execPath, [script, folder], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = new Promise((resolve) => child.once('exit', resolve))
  await new Promise((resolve) => child.stdout.once('data', resolve))
  await expect(openAnalytics({ embedded: folder })).rejects.toMatchObject({ code: 'analytics_locked' })
  child.kill('SIGKILL')
  await exited
  const analytics = await openAnalytics({ embedded: folder })
  onTestFinished(() => analytics.close())
  await expect(openAnalytics({ embedded: join(folder, 'other') })).rejects.toMatchObject({ code: 'analytics_open' })
  expect((await analytics.tables()).map(({ name }) => name)).toEqual(['rows'])
})

test('a server that is killed while bad rows are told apart: every good row is there once', async () => {
  const server = await startClickHouseServer()
  onTestFinished(() => server.stop())
  const analytics = await openAnalytics({ url: server.url })
  onTestFinished(() => analytics.close())
  const columns = [
    { name: 'n', type: 'UInt32' },
    { name: 'ip', type: 'IPv4' },
  ]
  await analytics.ensureTable({ name: 'rows', columns, mode: 'append' })
  const isBad = (n: number) => n % 37 === 5
  const blocks = Array.from({ length: 40 }, (_, block) =>
    Array.from({ length: 100 }, (_, index) => {
      const n = block * 100 + index
      return { index, row: { n, ip: isBad(n) ? `nowhere ${n}` : '10.0.0.1' } }
    }),
  )
  let left = 4
  const kills = (async () => {
    for (; left > 0; left -= 1) {
      await delay(100 + Math.random() * 200)
      await server.kill()
      await server.restart()
    }
  })()
  let failures = 0
  let rejected: number[] = []
  do {
    rejected = []
    for (const [block, rows] of blocks.entries()) {
      let refused: Rejection[] | undefined
      while (refused === undefined) {
        refused = await insertIsolating(analytics, 'rows', rows, `block ${block}`).catch(async (error: unknown) => {
          expect(error).toBeInstanceOf(Retryable)
          failures += 1
          await delay(20)
          return undefined
        })
      }
      rejected.push(...refused.map(({ index }) => block * 100 + index))
    }
    // All of it again, until the last kill, as after commits that were lost.
  } while (left > 0)
  await kills
  expect(failures).toBeGreaterThan(0)
  const all = Array.from({ length: 4_000 }, (_, n) => n)
  expect(rejected.sort((a, b) => a - b)).toEqual(all.filter(isBad))
  const { rows } = await analytics.query('SELECT n FROM rows ORDER BY n')
  expect(rows.map(({ n }) => n)).toEqual(all.filter((n) => !isBad(n)))
}, 120_000)

/** The last block that was answered before the process was killed. */
async function runAndKill(folder: string, from: number, lifeMs: number): Promise<number> {
  const child = spawn(process.execPath, [script, folder, String(from)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = new Promise((resolve) => child.once('exit', resolve))
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  const deadline = Date.now() + 20_000
  while (output === '' && Date.now() < deadline) await delay(5)
  await delay(lifeMs)
  child.kill('SIGKILL')
  await exited
  const lines = output.split('\n').slice(0, -1)
  expect(lines.length).toBeGreaterThan(0)
  return Number(lines.at(-1))
}
