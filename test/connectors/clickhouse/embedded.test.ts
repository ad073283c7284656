import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openAnalytics } from '../../../connectors/clickhouse/index.ts'
import { analyticsContract } from '../../contracts/analytics.ts'
import { changesContract } from '../../contracts/changes.ts'
import { parametersContract } from '../../contracts/parameters.ts'
import { rowFilterContract } from '../../contracts/row-filter.ts'

async function storage() {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-chdb-'))
  return {
    open: () =>
      openAnalytics({ embedded: folder, limits: { rows: 1_000, timeMs: 2_000, memoryBytes: 256 * 1024 * 1024 } }),
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

analyticsContract('chDB', storage)
rowFilterContract('chDB', storage)
changesContract('chDB', storage)
parametersContract('chDB', storage)
