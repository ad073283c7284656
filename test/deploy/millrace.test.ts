import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { Redis } from 'ioredis'
import { Kafka, logLevel } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ClickHouseServer, startClickHouseHttp } from '../services/clickhouse-http.ts'
import { freePorts } from '../services/ports.ts'
import { newServerFolder } from '../services/run-folder.ts'
import { findService } from '../services/services.ts'
import { until } from '../support/api.ts'
import { environmentOf, root } from './compose.ts'

const [kafka, registry, milvus, redis] = await Promise.all([
  findService('kafka'),
  findService('registry'),
  findService('milvus'),
  findService('redis'),
])
const found = [kafka, registry, milvus, redis].every((address) => address !== undefined)

const pipeline = (name: string) => `name: ${name}
source: { topic: ${name}.orders }
processors:
  - embed: { text: value.text, as: meaning }
sinks:
  - clickhouse: { table: ${name}, columns: { text: String } }
  - vectors: { collection: ${name}, vector: meaning, fields: [text] }
  - live: ${name}
`

/** With the user and the database that the image makes. */
async function startClickHouse(): Promise<ClickHouseServer> {
  const { CLICKHOUSE_USER: user = '', CLICKHOUSE_PASSWORD: password = '', CLICKHOUSE_DB } = environmentOf('clickhouse')
  const server = await startClickHouseHttp({ users: { [user]: password } })
  const headers = { 'x-clickhouse-user': user, 'x-clickhouse-key': password, authorization: basic(user, password) }
  const made = await fetch(server.url, { method: 'POST', headers, body: `CREATE DATABASE ${CLICKHOUSE_DB}` })
  if (!made.ok) throw new Error(await made.text())
  return server
}

const basic = (user: string, password: string): string =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`

/** The `millrace` of the image, with the environment of its service, where the names of servers lead to those of the tests. */
describe.skipIf(!found)('Millrace with the environment of docker-compose.yml', () => {
  const name = `deploy${Date.now()}`
  const folder = newServerFolder('compose-millrace')
  const data = join(folder, 'data')
  let clickhouse: ClickHouseServer
  let address: string
  let token: string
  let child: ChildProcess
  let output = ''

  beforeAll(async () => {
    const [port] = await freePorts(1)
    clickhouse = await startClickHouse()
    await mkdir(data)
    await mkdir(join(folder, 'pipelines'))
    await writeFile(join(folder, 'pipelines', 'orders.yaml'), pipeline(name))
    child = spawn('sh', [resolve(root, 'deploy/millrace'), 'run'], {
      cwd: folder,
      env: {
        PATH: process.env.PATH,
        NODE_ENV: 'production',
        MILLRACE_HOME: root,
        MILLRACE_DATA: data,
        MILLRACE_SERVER_HOST: '0.0.0.0',
        MILLRACE_SERVER_PORT: String(port),
        ...mapped(environmentOf('millrace')),
      },
    })
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text) => (output += String(text)))
    address = `http://127.0.0.1:${port}`
    await until(() => answers('/readyz'))
    token = (await readFile(join(data, 'token'), 'utf8')).trim()
  }, 120_000)

  afterAll(async () => {
    child.kill('SIGTERM')
    if (child.exitCode === null) await once(child, 'exit')
    await clickhouse.stop()
  }, 60_000)

  /** The hosts of the compose file, as they are here. */
  function mapped(environment: Record<string, string>): Record<string, string> {
    const places: Record<string, string | undefined> = {
      'kafka:9092': kafka,
      'http://registry:8080/apis/ccompat/v7': registry,
      'http://clickhouse:8123': clickhouse.url,
      'milvus:19530': milvus,
      'redis://redis:6379': redis,
    }
    return Object.fromEntries(Object.entries(environment).map(([key, value]) => [key, places[value] ?? value]))
  }

  async function answers(path: string): Promise<boolean> {
    if (child.exitCode !== null || output.includes('ERROR')) throw new Error(`Millrace has failed\n${output}`)
    try {
      return (await fetch(address + path)).ok
    } catch {
      return false
    }
  }

  const api = (path: string, body?: unknown) =>
    fetch(address + path, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })

  test('makes a token that only its user can read, and says where it is but not what', async () => {
    expect(token.length).toBeGreaterThanOrEqual(16)
    expect((await stat(join(data, 'token'))).mode & 0o777).toBe(0o600)
    expect(output).toContain(join(data, 'token'))
    expect(output).not.toContain(token)
  })

  test('is alive without the token, and tells nothing else', async () => {
    expect((await fetch(`${address}/livez`)).status).toBe(200)
    expect((await fetch(`${address}/v1/pipelines`)).status).toBe(401)
    expect((await api('/v1/pipelines')).status).toBe(200)
  })

  test('brings an event through every server', { timeout: 120_000 }, async () => {
    const published = await api(`/v1/topics/${name}.orders/events`, [{ text: 'two chairs' }])
    expect(published.status, await published.text()).toBe(200)

    const client = new Kafka({ brokers: kafka?.split(',') ?? [], logLevel: logLevel.NOTHING }).admin()
    await client.connect()
    expect(await client.fetchTopicOffsets(`${name}.orders`)).toMatchObject([{ high: '1' }])
    await client.disconnect()

    const answered = async (path: string, body: unknown) => await (await api(path, body)).text()
    const patience = { timeout: 60_000, interval: 100 }
    await expect
      .poll(() => answered('/v1/query', { sql: `SELECT text FROM ${name}` }), patience)
      .toContain('two chairs')
    await expect
      .poll(() => answered(`/v1/collections/${name}/search`, { text: 'furniture', k: 1 }), patience)
      .toContain('two chairs')
    const live = new Redis(redis ?? '')
    const keys = await live.keys(`*${name}*`)
    live.disconnect()
    expect(keys).not.toEqual([])
    // That it speaks no TLS is said on purpose: in the compose file only this machine can reach it.
    expect(output.replace(/.*tokens and events go over the network in the clear.*/, '')).not.toMatch(/WARN|ERROR/)
  })
})
