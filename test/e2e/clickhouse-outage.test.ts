import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import { startClickHouseServer } from '../services/clickhouse-server.ts'
import { call, pipelineStatus, until } from '../support/api.ts'
import { startCli, tempFolder } from '../support/cli.ts'
import { expectItHoldsBack, publish, text } from './load.ts'

const pipeline = `
name: orders
source: { topic: orders }
sinks:
  - clickhouse:
      table: orders
      columns: { id: UInt64, text: String }
block: { age: 100ms, bytes: 1MB }
`
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
  await using publisher = publish(server.address, 'orders', (id) => ({ id, text }))

  await until(async () => (await status()).totals.written > 500)
  await clickhouse.kill()
  const why = `ClickHouse at ${clickhouse.url}: insert into orders: .*(ECONNREFUSED|ECONNRESET|socket hang up)`
  await expectItHoldsBack(server, 'orders', new RegExp(why))

  await clickhouse.restart()
  await until(async () => (await status()).state === 'running')
  const sent = await publisher.stop()
  await until(async () => (await status()).lag === 0)
  const sql = 'SELECT count() AS n, uniqExact(id) AS ids FROM orders'
  const { rows } = await call(`${server.address}/v1/query`, counted, { sql })
  expect(rows).toEqual([{ n: sent, ids: sent }])
}, 240_000)
