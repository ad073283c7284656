import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import { startClickHouseServer } from '../services/clickhouse-server.ts'
import { call, pipelineStatus, sleep, until } from '../support/api.ts'
import { startCli, tempFolder } from '../support/cli.ts'

const pipeline = `
name: orders
source: { topic: orders }
sinks:
  - clickhouse:
      table: orders
      columns: { id: UInt64, text: String }
block: { age: 100ms, bytes: 1MB }
`
const text = 'a parcel that is on its way '.repeat(500)
/** Events, of some 14 kB each, that fill what is kept of a lane, and those that come then. */
const filling = 1_500
const measured = 4_000
const counted = z.object({ rows: z.tuple([z.object({ n: z.coerce.number(), ids: z.coerce.number() })]) })

let clickhouse: Awaited<ReturnType<typeof startClickHouseServer>>
beforeAll(async () => {
  clickhouse = await startClickHouseServer()
})
afterAll(() => clickhouse.stop())

it('while ClickHouse is down lag grows and memory does not, and afterwards everything is there once', async () => {
  await using folder = await tempFolder()
  await mkdir(join(folder.path, 'pipelines'))
  await writeFile(join(folder.path, 'pipelines/orders.yaml'), pipeline)
  await using server = await startCli(['run'], { cwd: folder.path, env: { CLICKHOUSE_URL: clickhouse.url } })
  const status = () => call(`${server.address}/v1/pipelines/orders`, pipelineStatus)
  await using publisher = publish(server.address)

  await until(async () => (await status()).totals.written > 500)
  await clickhouse.kill()
  await until(async () => (await status()).state === 'degraded')
  const { reason } = await status()
  expect(reason).toContain(`ClickHouse at ${clickhouse.url}: insert into orders: `)
  expect(reason).toMatch(/ECONNREFUSED|ECONNRESET|socket hang up/)

  await until(async () => (await status()).lag > filling)
  const memory = await memoryOf(server.pid)
  await until(async () => (await status()).lag > filling + measured)
  const grown = (await memoryOf(server.pid)) - memory
  expect((await status()).state).toBe('degraded')
  expect(grown).toBeLessThan((measured * text.length) / 2)

  await clickhouse.restart()
  await until(async () => (await status()).state === 'running')
  const sent = await publisher.stop()
  await until(async () => (await status()).lag === 0)
  const sql = 'SELECT count() AS n, uniqExact(id) AS ids FROM orders'
  const { rows } = await call(`${server.address}/v1/query`, counted, { sql })
  expect(rows).toEqual([{ n: sent, ids: sent }])
}, 240_000)

/** Publishes until it is stopped, which answers how many events were accepted: all of them. */
function publish(address: string) {
  const over = new AbortController()
  let next = 0
  const publishing = (async () => {
    while (!over.signal.aborted) {
      const body = JSON.stringify(Array.from({ length: 50 }, () => ({ id: next++, text })))
      const headers = { 'content-type': 'application/json' }
      const response = await fetch(`${address}/v1/topics/orders/events`, { method: 'POST', headers, body })
      expect(response.status, await response.text()).toBe(200)
      await sleep(20)
    }
  })()
  publishing.catch(() => undefined)
  const stop = async () => {
    over.abort()
    await publishing
    return next
  }
  return { stop, [Symbol.asyncDispose]: async () => void (await stop().catch(() => undefined)) }
}

/** Bytes of memory that is the process's own, which a mapped file is not. */
async function memoryOf(pid: number): Promise<number> {
  const found = /^RssAnon:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))
  return Number(found?.[1]) * 1024
}
