import { expect, test } from 'vitest'
import { boundServers } from '../../src/cli/bound-servers.ts'
import { loadRuntime } from '../../src/config/runtime.ts'

test('every server that the runtime names is known, with the port that its protocol has by default', async () => {
  const env = {
    KAFKA_BROKERS: 'a:9093, b',
    SCHEMA_REGISTRY_URL: 'https://registry/apis/ccompat/v7',
    CLICKHOUSE_URL: 'http://clickhouse:8123',
    MILVUS_ADDRESS: '[::1]:19530',
    REDIS_URL: 'redis://user:secret@redis',
    MILLRACE_EMBEDDER_REMOTE_URL: 'https://api.openai.com/v1',
  }
  const servers = boundServers(await loadRuntime({ env, cwd: '/nowhere' }))
  expect(servers.map(({ name, host, port }) => `${name} ${host} ${port}`)).toEqual([
    'Kafka a 9093',
    'Kafka b 9092',
    'the schema registry registry 443',
    'ClickHouse clickhouse 8123',
    'Milvus ::1 19530',
    'Redis redis 6379',
    'the remote embedder api.openai.com 443',
  ])
})

test('Sentinels and the nodes of a cluster are known too, and PostgreSQL', async () => {
  const of = async (env: Readonly<Record<string, string>>) =>
    boundServers(await loadRuntime({ env, cwd: '/nowhere' })).map(({ name, port }) => `${name} ${port}`)
  expect(await of({ MILLRACE_REDIS_SENTINELS: 's1,s2:1234', MILLRACE_REDIS_NAME: 'primary' })).toEqual([
    'Redis Sentinel 26379',
    'Redis Sentinel 1234',
  ])
  expect(await of({ MILLRACE_REDIS_CLUSTER: 'c1:7000' })).toEqual(['Redis Cluster 7000'])
  expect(await of({ MILLRACE_VECTORS_PGVECTOR_URL: 'postgres://u:p@db/x' })).toEqual(['PostgreSQL 5432'])
})
