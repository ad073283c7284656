import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { Socket } from '../live/socket.ts'
import { runCli, startCli, tempFolder } from '../support/cli.ts'

const pipeline = `
name: orders
source: { topic: orders }
sinks:
  - clickhouse: { table: orders, columns: { region: String, total: UInt32 } }
block: { age: 50ms }
`
const query = `
description: Orders by region
sql: |
  SELECT region, count() AS orders, sum(total) AS sold FROM orders
  WHERE total >= {least:UInt32} GROUP BY region ORDER BY region
params:
  least: { type: UInt32, default: 0 }
`

async function publish(address: string, ...events: unknown[]): Promise<void> {
  const body = events.map((value) => JSON.stringify(value)).join('\n')
  const headers = { 'content-type': 'application/x-ndjson' }
  const response = await fetch(`${address}/v1/topics/orders/events`, { method: 'POST', headers, body })
  if (!response.ok) throw new Error(await response.text())
}

test('what is published changes the rows of those who are subscribed to a query', async () => {
  await using folder = await tempFolder()
  await mkdir(join(folder.path, 'pipelines'))
  await mkdir(join(folder.path, 'queries'))
  await writeFile(join(folder.path, 'pipelines/orders.yaml'), pipeline)
  await writeFile(join(folder.path, 'queries/by-region.yaml'), query)
  await using millrace = await startCli(['run'], { cwd: folder.path })
  const { address } = millrace

  const [all, large] = [await Socket.open(address), await Socket.open(address)]
  all.send({ id: 1, type: 'subscribe', query: 'by-region' })
  large.send({ id: 1, type: 'subscribe', query: 'by-region', params: { least: 50 } })
  const { epoch } = await all.reply(1)
  await large.reply(1)
  expect(await all.ofType('rows')).toMatchObject({ version: 0, rows: [] })
  expect(await large.ofType('rows')).toMatchObject({ version: 0, rows: [] })

  await publish(address, { region: 'eu', total: 10 }, { region: 'us', total: 100 }, { region: 'zz', total: 1 })
  const rows = await all.next(({ type, version }) => type === 'rows' && version === 1)
  expect(rows).toMatchObject({
    columns: [{ name: 'region' }, { name: 'orders' }, { name: 'sold' }],
    rows: [
      { region: 'eu', orders: 1, sold: 10 },
      { region: 'us', orders: 1, sold: 100 },
      { region: 'zz', orders: 1, sold: 1 },
    ],
  })
  expect(await large.ofType('rows')).toMatchObject({ rows: [{ region: 'us', orders: 1, sold: 100 }] })

  await publish(address, { region: 'us', total: 5 })
  expect(await all.ofType('changes')).toEqual({
    type: 'changes',
    subscription: 's1',
    version: 2,
    length: 3,
    rows: [[1, { region: 'us', orders: 2, sold: 105 }]],
  })
  const back = await Socket.open(address)
  back.send({ id: 1, type: 'subscribe', query: 'by-region', since: { epoch, offset: 2 } })
  expect(await back.reply(1)).toMatchObject({ recovered: true, offset: 2, epoch })
  await publish(address, { region: 'eu', total: 1 })
  expect(await back.ofType('changes')).toMatchObject({ version: 3, rows: [[0, { region: 'eu', orders: 2 }]] })
  // What the others saw of the same event does not concern those who asked for large ones.
  expect(large.received).toEqual([])

  all.send({ id: 2, type: 'subscribe', query: 'by-regoin' })
  expect(await all.reply(2)).toMatchObject({ type: 'error', code: 'query_not_found', retry: false })
  all.send({ id: 3, type: 'subscribe', query: 'by-region', params: { least: 'x' } })
  expect(await all.reply(3)).toMatchObject({ type: 'error', code: 'bad_parameter' })
  all.send({ id: 4, type: 'unsubscribe', subscription: 's1' })
  expect(await all.reply(4)).toMatchObject({ type: 'unsubscribed' })

  const asked = await fetch(`${address}/v1/queries/by-region`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ params: { least: 50 } }),
  })
  expect(await asked.json()).toMatchObject({ rows: [{ region: 'us', orders: 1, sold: 100 }] })
  const command = ['query', '--name', 'by-region', '--param', 'least=50', '--csv']
  expect(await runCli(command, { cwd: folder.path })).toMatchObject({
    code: 0,
    stdout: 'region,orders,sold\nus,1,100\n',
  })
  for (const socket of [all, large, back]) socket.close()
})

test('the queries that come along answer for the pipelines that come along', async () => {
  await using folder = await tempFolder()
  await mkdir(join(folder.path, 'pipelines'))
  await mkdir(join(folder.path, 'queries'))
  await copyFile(resolve('pipelines/support-tickets.yaml'), join(folder.path, 'pipelines/support-tickets.yaml'))
  const names = ['tickets-by-category', 'ticket-topics']
  for (const name of names) await copyFile(resolve(`queries/${name}.yaml`), join(folder.path, `queries/${name}.yaml`))
  expect(await runCli(['lint'], { cwd: folder.path })).toMatchObject({
    code: 0,
    stdout: '1 pipeline and 2 queries checked, no problem found\n',
  })
  await using millrace = await startCli(['run'], { cwd: folder.path })
  const socket = await Socket.open(millrace.address)
  for (const [id, query] of names.entries()) {
    socket.send({ id, type: 'subscribe', query })
    expect(await socket.reply(id)).toMatchObject({ type: 'subscribed' })
  }
  socket.close()
})
