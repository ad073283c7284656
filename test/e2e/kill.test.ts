import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { openLanceDb } from '../../connectors/lancedb/index.ts'
import { connect } from '../../src/client/index.ts'
import { call, pipelineStatus, ready, sleep, until } from '../support/api.ts'
import { launch, runCli, tempFolder } from '../support/cli.ts'

const pipeline = `
name: orders
source: { topic: orders }
id: string(value.id)
processors:
  - filter: value.id >= 0
  - embed: { text: value.text, as: meaning }
sinks:
  - clickhouse:
      table: orders
      columns: { id: UInt64, text: String }
  - vectors: { collection: orders, vector: meaning, fields: [id] }
  - live: orders
block: { age: 100ms }
`
const rowsAnswer = z.object({ rows: z.array(z.object({ id: z.coerce.number(), times: z.coerce.number() })) })
/** Ids that are looked up at once; each request has its limits. */
const page = 4_000
const kills = 50
const texts = ['charged twice', 'where is my parcel', 'the page is down', 'how do I export', 'thank you', 'cancel it']

describe('a process that is killed at random moments under load', () => {
  it('has every accepted event in ClickHouse and in LanceDB once, and resuming subscribers see each once', async () => {
    await using folder = await tempFolder()
    await mkdir(join(folder.path, 'pipelines'))
    await writeFile(join(folder.path, 'pipelines/orders.yaml'), pipeline)
    const port = await freePort()
    const address = `http://127.0.0.1:${port}`
    const start = () => launch(['run'], { cwd: folder.path, env: { MILLRACE_SERVER_PORT: String(port) } })

    const over = new AbortController()
    const publishing = publish(address, over.signal)
    const subscriber = subscribe(address)
    let running = start()
    for (let kill = 0; kill < kills; kill++) {
      // Some lives end while the process is still starting, some under full load.
      await sleep(300 + Math.random() * 2_700)
      running.kill('SIGKILL')
      await running.exited
      running = start()
    }
    await ready(address)
    await sleep(500)
    over.abort()
    const { accepted, sent } = await publishing
    expect(accepted.size).toBeGreaterThan(kills)

    await until(async () => {
      const { lag, state } = await call(`${address}/v1/pipelines/orders`, pipelineStatus)
      return state === 'running' && lag === 0
    })
    const stored = await storedRows(address, sent.size)
    expect([...stored].filter(([, times]) => times !== 1)).toEqual([])
    expect([...accepted].filter((id) => !stored.has(id))).toEqual([])
    expect([...stored.keys()].filter((id) => !sent.has(id))).toEqual([])

    await until(async () => subscriber.seen.length >= stored.size)
    expect(subscriber.problems).toEqual([])
    expect(subscriber.seen.toSorted((a, b) => a - b)).toEqual([...stored.keys()].sort((a, b) => a - b))
    subscriber.close()

    running.kill('SIGTERM')
    expect((await running.exited).code).toBe(0)
    expect(await vectorIds(join(folder.path, 'data'), sent.size)).toEqual([...stored.keys()].sort((a, b) => a - b))
    const dead = await runCli(['dlq', 'orders', '--json'], { cwd: folder.path })
    expect(dead.stdout).not.toContain('"code":"')
  }, 600_000)
})

/** Posts small batches as fast as they are accepted. What was sent without an answer may or may not be stored. */
async function publish(address: string, signal: AbortSignal) {
  const accepted = new Set<number>()
  const sent = new Set<number>()
  for (let next = 0; !signal.aborted; ) {
    const ids = Array.from({ length: 1 + Math.floor(Math.random() * 8) }, () => next++)
    for (const id of ids) sent.add(id)
    const events = ids.map((id) => ({ id, text: `${texts[id % texts.length]} (${id % 50})` }))
    const response = await fetch(`${address}/v1/topics/orders/events`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(events),
    }).catch(() => undefined)
    const answer = await response?.json().catch(() => undefined)
    if (response?.ok && answer) for (const id of ids) accepted.add(id)
    else await sleep(20)
    await sleep(5)
  }
  return { accepted, sent }
}

/** Subscribes from the beginning; the SDK goes on from where it was after every lost connection. */
function subscribe(address: string) {
  const seen: number[] = []
  const problems: unknown[] = []
  const client = connect(address)
  const subscription = client.subscribe('orders', { since: { last: 10_000 } })
  subscription.on('event', ({ value }) => seen.push(z.object({ id: z.number() }).parse(value).id))
  subscription.on('gap', (gap) => problems.push(gap))
  subscription.on('error', (error) => problems.push(error))
  return { seen, problems, close: () => client.close() }
}

/** How often each id is in the table. */
async function storedRows(address: string, ids: number): Promise<Map<number, number>> {
  const stored = new Map<number, number>()
  const sql = 'SELECT id, count() AS times FROM orders WHERE id >= {from:UInt64} AND id < {to:UInt64} GROUP BY id'
  for (let from = 0; from < ids; from += page) {
    const { rows } = await call(`${address}/v1/query`, rowsAnswer, { sql, params: { from, to: from + page } })
    for (const { id, times } of rows) stored.set(id, times)
  }
  return stored
}

/** The ids in the collection, as often as they are in it. */
async function vectorIds(data: string, ids: number): Promise<number[]> {
  const store = await openLanceDb(join(data, 'lancedb'))
  const collection = await store.find('orders')
  if (!collection) throw new Error('there is no collection orders')
  const vector = new Float32Array(collection.spec.dimension).fill(1)
  const found: number[] = []
  for (let from = 0; from < ids; from += page) {
    const filter = { id: { $gte: from, $lt: from + page } }
    const matches = await collection.search({ vector, k: 2 * page, filter })
    found.push(...matches.map(({ id }) => Number(id)))
  }
  expect(await collection.count()).toBe(found.length)
  await store.close()
  return found.sort((a, b) => a - b)
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}
