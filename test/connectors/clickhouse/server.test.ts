import { afterAll, expect, test } from 'vitest'
import { openAnalytics } from '../../../connectors/clickhouse/index.ts'
import { Retryable } from '../../../src/core/errors.ts'
import { analyticsContract } from '../../contracts/analytics.ts'
import { changesContract } from '../../contracts/changes.ts'
import { parametersContract } from '../../contracts/parameters.ts'
import { rowFilterContract } from '../../contracts/row-filter.ts'
import { startClickHouseHttp } from '../../services/clickhouse-http.ts'

const server = await startClickHouseHttp()
afterAll(() => server.stop())

async function storage() {
  return {
    open: () =>
      openAnalytics({
        url: server.url,
        database: 'default',
        limits: { rows: 1_000, timeMs: 2_000, memoryBytes: 256 * 1024 * 1024 },
      }),
    remove: () => Promise.resolve(),
  }
}

analyticsContract('ClickHouse over HTTP', storage)
rowFilterContract('ClickHouse over HTTP', storage)
changesContract('ClickHouse over HTTP', storage)
parametersContract('ClickHouse over HTTP', storage)

test('a server that is down is worth another try', async () => {
  const analytics = await openAnalytics({ url: 'http://127.0.0.1:1' })
  const columns = [{ name: 'n', type: 'Int64' }]
  await expect(analytics.ensureTable({ name: 't', mode: 'append', columns })).rejects.toBeInstanceOf(Retryable)
  await expect(analytics.insert('t', [{ n: 1 }], 'one')).rejects.toBeInstanceOf(Retryable)
  await expect(analytics.query('SELECT 1')).rejects.toBeInstanceOf(Retryable)
  await analytics.close()
})
