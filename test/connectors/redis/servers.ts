import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { freePorts } from '../../services/ports.ts'
import { askRedis, type RedisServer, startRedis } from '../../services/redis.ts'
import { newServerFolder } from '../../services/run-folder.ts'
import { type LocalServer, startServer } from '../../services/server.ts'

export interface RedisCluster extends AsyncDisposable {
  /** `host:port` of the nodes: three primaries, then a replica of each. */
  readonly nodes: readonly string[]
  readonly servers: readonly LocalServer[]
}

export interface WatchedRedis extends AsyncDisposable {
  readonly sentinels: readonly string[]
  readonly name: string
  readonly primary: RedisServer
  readonly replica: RedisServer
}

interface ClusterNode extends LocalServer {
  readonly port: number
  readonly bus: number
}

const inMemory = { appendonly: 'no', 'repl-diskless-sync-delay': '0' }
const slots = 16_384

/** A cluster of three primaries with a replica each, all in memory. */
export async function startCluster(): Promise<RedisCluster> {
  const servers = await Promise.all(Array.from({ length: 6 }, startNode))
  const clients = servers.map(({ port }) => new Redis(port))
  const [first] = clients
  for (const { port, bus } of servers.slice(1)) await first?.call('cluster', ['meet', '127.0.0.1', port, bus])
  for (const [index, client] of clients.slice(0, 3).entries()) {
    const from = Math.ceil((slots / 3) * index)
    await client.call('cluster', ['addslotsrange', from, Math.ceil((slots / 3) * (index + 1)) - 1])
  }
  for (const [index, client] of clients.slice(3).entries()) {
    const id = String(await clients[index]?.call('cluster', ['myid']))
    await eventually(() => client.call('cluster', ['replicate', id]))
  }
  for (const client of clients) {
    await eventually(async () => {
      const info = String(await client.call('cluster', ['info']))
      if (!info.includes('cluster_state:ok')) throw new Error(info)
    })
    await eventually(() => replicates(client))
    client.disconnect()
  }
  return {
    nodes: servers.map(({ port }) => `127.0.0.1:${port}`),
    servers,
    [Symbol.asyncDispose]: async () => {
      for (const server of servers) await server[Symbol.asyncDispose]()
    },
  }
}

async function startNode(): Promise<ClusterNode> {
  const [port = 0, bus = 0] = await freePorts(2)
  const folder = newServerFolder('redis')
  const settings = {
    ...inMemory,
    bind: '127.0.0.1',
    port,
    dir: folder,
    save: '',
    'cluster-enabled': 'yes',
    'cluster-port': bus,
    'cluster-node-timeout': 1_500,
  }
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)])
  const ask = () => askRedis(port)
  const server = await startServer({ name: 'redis', folder, command: 'redis-server', args, ask })
  return { ...server, port, bus }
}

/** A primary and its replica, in memory, watched by three Sentinels that are quick to act. */
export async function startWatched(): Promise<WatchedRedis> {
  const primary = await startRedis({ settings: inMemory })
  const { port } = new URL(primary.url)
  const replica = await startRedis({ settings: { ...inMemory, replicaof: `127.0.0.1 ${port}` } })
  const follower = new Redis(replica.url)
  await eventually(() => replicates(follower))
  follower.disconnect()
  const name = 'tests'
  const ports = await freePorts(3)
  const watchers = await Promise.all(
    ports.map((own) => {
      const folder = newServerFolder('sentinel')
      const file = join(folder, 'sentinel.conf')
      const lines = [
        `port ${own}`,
        'bind 127.0.0.1',
        `dir ${folder}`,
        `sentinel monitor ${name} 127.0.0.1 ${port} 2`,
        `sentinel down-after-milliseconds ${name} 1000`,
        `sentinel failover-timeout ${name} 4000`,
      ]
      writeFileSync(file, `${lines.join('\n')}\n`)
      const ask = () => askRedis(own)
      return startServer({ name: 'sentinel', folder, command: 'redis-server', args: [file, '--sentinel'], ask })
    }),
  )
  for (const own of ports) {
    const client = new Redis(own)
    await eventually(async () => {
      const info = String(await client.call('info', ['sentinel']))
      if (!info.includes('slaves=1,sentinels=3')) throw new Error(info)
    })
    client.disconnect()
  }
  return {
    sentinels: ports.map((own) => `127.0.0.1:${own}`),
    name,
    primary,
    replica,
    [Symbol.asyncDispose]: async () => {
      for (const server of [...watchers, replica, primary]) await server[Symbol.asyncDispose]()
    },
  }
}

/** Fails as long as a replica has not got all that its primary has. */
async function replicates(client: Redis): Promise<void> {
  const role = await client.call('role')
  if (Array.isArray(role) && role[0] === 'slave' && role[3] !== 'connected') throw new Error(String(role))
}

/** What succeeds in the end, tried for some seconds. */
export async function eventually<T>(work: () => Promise<T>, patienceMs = 30_000): Promise<T> {
  for (const end = Date.now() + patienceMs; ; ) {
    try {
      return await work()
    } catch (error) {
      if (Date.now() > end) throw error
      await sleep(50)
    }
  }
}
