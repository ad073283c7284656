import { afterAll, describe, expect, test } from 'vitest'
import { shardOf, tableEngine } from '../../../connectors/clickhouse/cluster.ts'
import { openAnalytics } from '../../../connectors/clickhouse/index.ts'
import { Fatal } from '../../../src/core/errors.ts'
import { analyticsContract } from '../../contracts/analytics.ts'
import { changesContract } from '../../contracts/changes.ts'
import { rowFilterContract } from '../../contracts/row-filter.ts'
import { startClickHouseHttp, withoutKeeper } from '../../services/clickhouse-http.ts'

const limits = { rows: 1_000, timeMs: 2_000, memoryBytes: 256 * 1024 * 1024 }
const server = await startClickHouseHttp({ cluster: 'pair' })
const open = (cluster = 'pair') => openAnalytics({ url: server.url, cluster, limits })
afterAll(() => server.stop())

/** Distributed tables of one shard run for real; that definitions reach several servers, and replication, do not. */
const storage = () => Promise.resolve({ open: () => open(), remove: () => Promise.resolve() })
analyticsContract('A ClickHouse cluster of one shard, without a Keeper,', storage)
rowFilterContract('A ClickHouse cluster of one shard, without a Keeper,', storage)
changesContract('A ClickHouse cluster of one shard, without a Keeper,', storage)

const columns = [{ name: 'n', type: 'UInt64' }]
const definitions = (table: string) =>
  server.statements.filter((sql) => /^(CREATE|ALTER)/.test(sql) && sql.includes(`\`${table}`))

describe('what a cluster is told', () => {
  test('a table to append to is replicated, and has a Distributed one in front', async () => {
    const analytics = await open()
    const spec = { name: 'orders', columns, mode: 'append' as const, orderBy: ['n'], partitionBy: 'n % 2' }
    await analytics.ensureTable(spec)
    await analytics.ensureTable({ ...spec, columns: [...columns, { name: 'extra', type: 'String' }] })
    const create =
      'CREATE TABLE IF NOT EXISTS `default`.`orders_local` ON CLUSTER `pair` (`n` UInt64) ' +
      "ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}') " +
      'PARTITION BY (n % 2) ORDER BY (n) SETTINGS non_replicated_deduplication_window = 10000, ' +
      'replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800'
    const front =
      'CREATE TABLE IF NOT EXISTS `default`.`orders` ON CLUSTER `pair` AS `default`.`orders_local` ' +
      "ENGINE = Distributed('pair', 'default', 'orders_local', rand())"
    expect(definitions('orders')).toEqual([
      create,
      front,
      create.replace('(`n` UInt64)', '(`n` UInt64, `extra` String)'),
      'ALTER TABLE `default`.`orders_local` ON CLUSTER `pair` ADD COLUMN IF NOT EXISTS `extra` String',
      front,
      'ALTER TABLE `default`.`orders` ON CLUSTER `pair` ADD COLUMN IF NOT EXISTS `extra` String',
    ])
    await analytics.insert('orders', [{ n: 1, extra: 'x' }], 'one')
    expect((await analytics.query('SELECT n, extra FROM orders')).rows).toEqual([{ n: 1, extra: 'x' }])
    await analytics.close()
  })

  test('rows of an upsert table are spread by id', async () => {
    const analytics = await open()
    await analytics.ensureTable({ name: 'people', columns, mode: 'upsert' })
    const [create, front] = definitions('people')
    expect(create).toContain(
      "ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/{table}', '{replica}', `_version`, `_deleted`)",
    )
    expect(front).toContain("ENGINE = Distributed('pair', 'default', 'people_local', cityHash64(`_id`))")
    await analytics.insert('people', [{ _id: 'a', _version: 1, _deleted: 0, n: 1 }], 'one')
    const insert = server.statements.at(-1)
    expect(insert).toContain('insert_distributed_sync = 1')
    expect(insert).not.toContain('insert_shard_id')
    await analytics.close()
  })

  test('a block of an append table goes to one shard as a whole', async () => {
    const analytics = await open()
    await analytics.ensureTable({ name: 'whole', columns, mode: 'append' })
    await analytics.insert('whole', [{ n: 1 }, { n: 2 }], 'one')
    expect(server.statements.at(-1)).toMatch(/insert_shard_id = 1, insert_deduplication_token = 'one'/)
    await analytics.close()
  })

  test('a cluster that the server does not know is refused, with those it knows', async () => {
    const analytics = await open('triple')
    const problem = await analytics.ensureTable({ name: 't', columns, mode: 'append' }).catch((error) => error)
    expect(problem).toBeInstanceOf(Fatal)
    expect(problem.message).toBe(`ClickHouse at ${server.url} knows no cluster triple; it knows pair`)
    await expect(analytics.insert('t', [{ n: 1 }], 'one')).rejects.toBeInstanceOf(Fatal)
    await analytics.close()
  })

  test('a table that was made before the cluster is not taken for one of the cluster', async () => {
    const alone = await openAnalytics({ url: server.url, limits })
    await alone.ensureTable({ name: 'old', columns, mode: 'append' })
    const analytics = await open()
    await expect(analytics.ensureTable({ name: 'old', columns, mode: 'append' })).rejects.toMatchObject({
      code: 'table_not_distributed',
    })
    await Promise.all([alone.close(), analytics.close()])
  })
})

test('blocks are spread over the shards, each always to the same', () => {
  const shards = Array.from({ length: 300 }, (_, at) => shardOf(`p/t/0/${at}-${at + 1}`, 3))
  for (const shard of [1, 2, 3]) expect(shards.filter((each) => each === shard).length).toBeGreaterThan(60)
  expect(shardOf('p/t/0/7-8', 3)).toBe(shards[7])
})

test('the test server takes away what needs a Keeper, and nothing else', () => {
  const engine = tableEngine({ cluster: 'c' }, true)
  expect(withoutKeeper(`CREATE TABLE x ON CLUSTER \`c\` (a Int8) ENGINE = ${engine} ORDER BY a`)).toBe(
    'CREATE TABLE x (a Int8) ENGINE = ReplacingMergeTree(`_version`, `_deleted`) ORDER BY a',
  )
})
