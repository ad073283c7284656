import { createHash } from 'node:crypto'
import type { ClickHouseClient } from '@clickhouse/client'
import { quoteName, quoteString } from '../../src/core/clickhouse/sql.ts'
import { Fatal } from '../../src/core/errors.ts'
import { type Engine, selectRows } from './engine.ts'

/*
 * On a cluster the rows of table `t` lie in `t_local`, a replicated table on every server, and `t` is a Distributed
 * table in front of it. Two rules keep a replay exact there:
 *
 * A block of an append table goes to one shard as a whole, which follows from its token. So it is still taken as a whole or
 * not at all, and the shard that has it knows the token. It also makes one part, not one on each shard.
 *
 * The rows of an upsert table go to the shard of their id, where they meet the older ones of that id. A block is taken there by
 * some shards and not by others if one fails; the repetition is dropped by token or, under other tokens, replaces
 * the same rows by themselves.
 */

const suffix = '_local'

/** Where a table's replicas find each other. The servers know the macros. It must not change. */
const replicaPath = '/clickhouse/tables/{shard}/{database}/{table}'

/** The table that has the rows. */
export function storedTable({ cluster }: Engine, table: string): string {
  return cluster === undefined ? table : `${table}${suffix}`
}

/** The table that a stored one belongs to. */
export function frontOf({ cluster }: Engine, stored: string): string {
  return cluster !== undefined && stored.endsWith(suffix) ? stored.slice(0, -suffix.length) : stored
}

export function onCluster({ cluster }: Engine): string {
  return cluster === undefined ? '' : `ON CLUSTER ${quoteName(cluster)}`
}

/** A table of every server of a cluster, or of the one there is. */
export function onAllReplicas(cluster: string | undefined, table: string): string {
  return cluster === undefined ? table : `clusterAllReplicas(${quoteString(cluster)}, ${table})`
}

/** The engine of the table that has the rows. */
export function tableEngine({ cluster }: Pick<Engine, 'cluster'>, upsert: boolean): string {
  const versions = upsert ? ['`_version`', '`_deleted`'] : []
  const name = upsert ? 'ReplacingMergeTree' : 'MergeTree'
  if (cluster === undefined) return upsert ? `${name}(${versions.join(', ')})` : name
  const replica = [quoteString(replicaPath), quoteString('{replica}')]
  return `Replicated${name}(${[...replica, ...versions].join(', ')})`
}

/** The table in front. Blocks of append tables name their shard, so its rule for them matters to other clients alone. */
export function frontStatement(engine: Engine, cluster: string, table: string, upsert: boolean): string {
  const stored = storedTable(engine, table)
  const target = [cluster, engine.database, stored].map(quoteString).join(', ')
  const database = quoteName(engine.database)
  return [
    `CREATE TABLE IF NOT EXISTS ${database}.${quoteName(table)} ${onCluster(engine)} AS ${database}.${quoteName(stored)}`,
    `ENGINE = Distributed(${target}, ${upsert ? 'cityHash64(`_id`)' : 'rand()'})`,
  ].join(' ')
}

/** Shards of a cluster. Throws `Fatal` (`clickhouse_unknown_cluster`) if the server knows none of that name. */
export async function shardsOf(client: ClickHouseClient, { name }: Engine, cluster: string): Promise<number> {
  const rows = await selectRows(client, 'SELECT cluster, uniqExact(shard_num) FROM system.clusters GROUP BY cluster')
  const shards = Number(rows.find(([name]) => name === cluster)?.[1] ?? 0)
  if (shards > 0) return shards
  const known = rows.map(([name]) => String(name)).join(', ')
  throw new Fatal({
    code: 'clickhouse_unknown_cluster',
    message: `${name} knows no cluster ${cluster}; it knows ${known || 'none'}`,
    hint: 'clickhouse.cluster names one of remote_servers in the configuration of the servers.',
  })
}

/** The shard of a block, from 1. */
export function shardOf(token: string, shards: number): number {
  return 1 + (createHash('md5').update(token).digest().readUInt32BE(0) % shards)
}
