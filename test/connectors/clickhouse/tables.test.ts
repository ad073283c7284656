import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openEmbedded } from '../../../connectors/clickhouse/embedded.ts'
import { selectRows } from '../../../connectors/clickhouse/engine.ts'
import { ensureTable } from '../../../connectors/clickhouse/tables.ts'

const limits = { timeMs: 10_000, rows: 1_000, memoryBytes: 256 * 1024 * 1024 }

test('a table that was made by hand remembers tokens from then on', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-chdb-tables-'))
  const engine = await openEmbedded(folder, limits)
  const command = (query: string) => engine.administer((client) => client.command({ query }))
  await command('CREATE TABLE millrace.mine (n UInt64) ENGINE = MergeTree ORDER BY n')
  await ensureTable(engine, { name: 'mine', columns: [{ name: 'n', type: 'UInt64' }], mode: 'append' })
  for (let repeat = 0; repeat < 2; repeat++)
    await command("INSERT INTO millrace.mine SETTINGS insert_deduplication_token = 'block' VALUES (1)")
  expect(await engine.administer((client) => selectRows(client, 'SELECT n FROM millrace.mine'))).toHaveLength(1)
  await engine.close()
  await rm(folder, { recursive: true, force: true })
})
