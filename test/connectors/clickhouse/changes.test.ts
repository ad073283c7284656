import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, expect, test } from 'vitest'
import { openAnalytics } from '../../../connectors/clickhouse/index.ts'
import { Watcher } from '../../contracts/changes.ts'
import { startClickHouseHttp } from '../../services/clickhouse-http.ts'

const server = await startClickHouseHttp()
const writer = await openAnalytics({ url: server.url })
const reader = await openAnalytics({ url: server.url })
const looks = () => server.statements.filter((sql) => sql.includes('system.parts')).length
afterAll(async () => {
  await Promise.all([writer.close(), reader.close()])
  await server.stop()
})

await writer.ensureTable({ name: 'orders', columns: [{ name: 'n', type: 'Int64' }], mode: 'append' })
await writer.ensureTable({ name: 'visits', columns: [{ name: 'n', type: 'Int64' }], mode: 'append' })

test('what another process writes is seen; one look serves all who watch, and none is taken for nobody', async () => {
  const before = looks()
  const watchers = Array.from({ length: 20 }, (_, index) => new Watcher(reader, index % 2 ? 'orders' : 'visits'))
  await Promise.all(watchers.map((watcher) => watcher.reaches(1)))
  const began = looks()
  await writer.insert('orders', [{ n: 1 }], 'one')
  await Promise.all(watchers.map((watcher, index) => watcher.reaches(index % 2 ? 2 : 1)))
  expect(looks() - began).toBeLessThan(10)
  expect(watchers.map(({ count }) => count)).toEqual(watchers.map((_, index) => (index % 2 ? 2 : 1)))
  expect(began).toBeGreaterThan(before)
  await Promise.all(watchers.map((watcher) => watcher.stop()))
  const ended = looks()
  await sleep(1_200)
  expect(looks()).toBe(ended)
})

test('what lands while the server cannot be asked is told when it can; whoever begins meanwhile hears once', async () => {
  const watcher = new Watcher(reader, 'orders')
  await watcher.reaches(1)
  server.fail('proxy', Number.POSITIVE_INFINITY, /system\.parts/)
  const late = new Watcher(reader, 'orders')
  await late.reaches(1)
  await writer.insert('orders', [{ n: 2 }], 'two')
  await sleep(700)
  expect([watcher.count, late.count]).toEqual([1, 1])
  server.heal()
  await Promise.all([watcher.reaches(2), late.reaches(2)])
  await Promise.all([watcher.stop(), late.stop()])
})

test('merges say nothing, deletions do', async () => {
  for (let n = 0; n < 4; n++) await writer.insert('visits', [{ n }], `visit ${n}`)
  const watcher = new Watcher(reader, 'visits')
  await watcher.reaches(1)
  await fetch(server.url, { method: 'POST', body: 'OPTIMIZE TABLE visits FINAL' })
  await sleep(1_200)
  expect(watcher.count).toBe(1)
  await fetch(server.url, { method: 'POST', body: 'TRUNCATE TABLE visits' })
  await watcher.reaches(2)
  await watcher.stop()
})
