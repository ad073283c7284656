import type { Runtime } from '../config/runtime.ts'

/** A server that the runtime binds something to. */
export interface BoundServer {
  readonly name: string
  readonly host: string
  readonly port: number
}

type Bindings = Pick<Runtime, 'kafka' | 'schemaRegistry' | 'clickhouse' | 'vectors' | 'redis' | 'embedder'>

const ports: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443, 'redis:': 6379, 'rediss:': 6379 }
const postgresPort = 5432
const milvusPort = 19_530
const kafkaPort = 9092
const sentinelPort = 26_379
const redisPort = 6379

/** All of them. Pinecone is left out: its address is not known before it is asked. */
export function boundServers(bindings: Bindings): BoundServer[] {
  const { kafka, schemaRegistry, clickhouse, vectors, redis, embedder } = bindings
  const { milvus, qdrant, pgvector } = vectors ?? {}
  return [
    ...(kafka?.brokers ?? []).map((address) => byAddress('Kafka', address, kafkaPort)),
    ...byUrl('the schema registry', schemaRegistry?.url),
    ...byUrl('ClickHouse', clickhouse?.url),
    ...(milvus === undefined ? [] : [byAddress('Milvus', milvus.address, milvusPort)]),
    ...byUrl('Qdrant', qdrant?.url),
    ...byUrl('PostgreSQL', pgvector?.url, postgresPort),
    ...byUrl('Redis', redis?.url),
    ...(redis?.sentinels ?? []).map((address) => byAddress('Redis Sentinel', address, sentinelPort)),
    ...(redis?.cluster ?? []).map((address) => byAddress('Redis Cluster', address, redisPort)),
    ...byUrl('the remote embedder', embedder.remote?.url),
  ]
}

/** `host:port`, `[::1]:port`, or with a scheme before it. */
function byAddress(name: string, address: string, usual: number): BoundServer {
  const { hostname, port } = new URL(address.includes('://') ? address : `tcp://${address}`)
  return { name, host: withoutBrackets(hostname), port: port === '' ? usual : Number(port) }
}

/** A URL leaves out the port that its protocol has by default. */
function byUrl(name: string, url: string | undefined, usual?: number): BoundServer[] {
  if (url === undefined) return []
  const { hostname, port, protocol } = new URL(url)
  return [{ name, host: withoutBrackets(hostname), port: port === '' ? (usual ?? ports[protocol] ?? 0) : Number(port) }]
}

function withoutBrackets(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1')
}
