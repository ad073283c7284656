import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Socket } from '../live/socket.ts'
import { startClickHouseHttp } from '../services/clickhouse-http.ts'
import { findService } from '../services/services.ts'
import { startCli, tempFolder } from '../support/cli.ts'

const [kafka, redis, milvus] = await Promise.all([findService('kafka'), findService('redis'), findService('milvus')])
const token = 'the-token-of-all-processes'
const name = `roles${Date.now()}`
const pipeline = `
name: ${name}
source: { topic: ${name}.notes }
id: value.id
processors: [{ embed: { text: value.text, as: meaning } }]
sinks:
  - clickhouse: { table: ${name}, columns: { id: String, text: String } }
  - vectors: { collection: ${name}, vector: meaning, fields: [text] }
  - live: ${name}
block: { age: 100ms }
`

describe.skipIf(kafka === undefined || redis === undefined || milvus === undefined)('a processor and a gateway', () => {
  test('what is published at the gateway is processed elsewhere and comes back live, in searches and in queries', async () => {
    await using folder = await tempFolder()
    const clickhouse = await startClickHouseHttp()
    await mkdir(join(folder.path, 'pipelines'))
    await writeFile(join(folder.path, 'pipelines/notes.yaml'), pipeline)
    const env = {
      KAFKA_BROKERS: kafka ?? '',
      MILLRACE_REDIS_URL: redis ?? '',
      MILLRACE_REDIS_PREFIX: name,
      CLICKHOUSE_URL: clickhouse.url,
      MILLRACE_VECTORS_MILVUS_ADDRESS: milvus ?? '',
      MILLRACE_SERVER_TOKEN: token,
      MILLRACE_SERVER_AUDIT: `${name}.audit`,
    }
    try {
      await using processor = await startCli(['run', '--role', 'processor'], { cwd: folder.path, env })
      await using gateway = await startCli(['run', '--role', 'gateway'], { cwd: folder.path, env })
      const ask = async (address: string, path: string, body?: unknown) => {
        const response = await fetch(address + path, {
          method: body === undefined ? 'GET' : 'POST',
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        })
        return `${response.status} ${await response.text()}`
      }
      const socket = await Socket.open(gateway.address)
      socket.send({ id: 1, type: 'authenticate', token })
      await socket.reply(1)
      socket.send({ id: 2, type: 'subscribe', channel: name })
      expect(await socket.reply(2)).toMatchObject({ type: 'subscribed' })
      const events = [{ id: 'a', text: 'My card was charged twice' }]
      socket.send({ id: 3, type: 'publish', topic: `${name}.notes`, events })
      expect(await socket.reply(3)).toMatchObject({ type: 'published', positions: [{ offset: 0 }] })
      expect(await socket.ofType('events')).toMatchObject({ events: [{ id: 'a', value: events[0] }] })
      const over = `/v1/topics/${name}.notes/events`
      expect(await ask(gateway.address, over, [{ id: 'b', text: 'The parcel has not come' }])).toMatch(/^200/)
      expect(await socket.ofType('events')).toMatchObject({ events: [{ id: 'b' }] })
      socket.close()

      const patience = { timeout: 60_000, interval: 100 }
      const found = () => ask(gateway.address, `/v1/collections/${name}/search`, { text: 'payment problem', k: 1 })
      await expect.poll(found, patience).toMatch(/^200.*charged twice/)
      const rows = () => ask(gateway.address, '/v1/query', { sql: `SELECT count() AS n FROM ${name}` })
      await expect.poll(rows, patience).toMatch(/^200.*"n":"?2/)
      expect(await ask(processor.address, `/v1/pipelines/${name}`)).toMatch(/^200.*"state":"running"/)
      expect(await ask(processor.address, over)).toMatch(/^404.*role processor/)
      expect(await ask(gateway.address, '/v1/pipelines')).toMatch(/^404.*role gateway/)

      // Both write to the trail, and the gateway shows it.
      const audited = () => ask(gateway.address, `/v1/topics/${name}.audit/events?limit=100`)
      await expect.poll(audited, patience).toMatch(/"action":"publish".*"outcome":"allowed"/)
      await fetch(`${processor.address}/v1/pipelines`, { headers: { authorization: 'Bearer of-bad-news' } })
      await expect.poll(audited, patience).toMatch(/"outcome":"refused".*token_invalid/)
    } finally {
      await clickhouse.stop()
    }
  }, 180_000)
})
