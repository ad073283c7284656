import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePorts } from '../services/ports.ts'
import { type RunningCli, startCli, tempFolder } from '../support/cli.ts'

/**
 * A Millrace on a port that stays the same. Topics `notes` and `orders` go to channels of the same names, orders into a
 * table too.
 */
export interface LiveServer extends AsyncDisposable {
  readonly address: string
  /** Appends a note for each text, in this order, under `key` if one is given. */
  publish(texts: readonly string[], key?: string): Promise<void>
  order(...orders: readonly Order[]): Promise<void>
  /** Appends a tombstone. */
  cancel(id: string): Promise<void>
  /** Ends the process and waits for it. */
  stop(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>
  start(): Promise<void>
}

export interface Order {
  readonly id: string
  readonly region: string
  readonly total: number
}

const files = {
  'pipelines/notes.yaml': `
name: notes
source: { topic: notes }
sinks:
  - live: notes
`,
  'pipelines/orders.yaml': `
name: orders
source: { topic: orders }
id: key
sinks:
  - live: orders
  - clickhouse:
      table: orders
      columns: { id: String, region: String, total: UInt32, at: { type: DateTime64(3), from: timestamp } }
block: { age: 50ms }
`,
  'queries/by-region.yaml': `
sql: |
  SELECT region, sum(total) AS sold FROM orders
  WHERE total >= {least:UInt32} GROUP BY region ORDER BY region
params:
  least: { type: UInt32, default: 0 }
`,
}

export async function startLiveServer(): Promise<LiveServer> {
  const folder = await tempFolder()
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(folder.path, path, '..'), { recursive: true })
    await writeFile(join(folder.path, path), text)
  }
  const [port = 0] = await freePorts(1)
  const launch = () => startCli(['run'], { cwd: folder.path, env: { MILLRACE_SERVER_PORT: String(port) } })
  let running: RunningCli = await launch()
  const { address } = running
  const post = async (path: string, type: string, body: unknown) => {
    const init = { method: 'POST', headers: { 'content-type': type }, body: JSON.stringify(body) }
    const response = await fetch(`${address}/v1/topics/${path}`, init)
    if (!response.ok) throw new Error(await response.text())
  }
  const append = (topic: string, events: readonly { readonly key: string }[]) =>
    post(`${topic}/events?key=/key`, 'application/json', events)
  return {
    address,
    publish: (texts, key) =>
      append(
        'notes',
        texts.map((text) => ({ text, key: key ?? text })),
      ),
    order: (...orders) =>
      append(
        'orders',
        orders.map((order) => ({ ...order, key: order.id })),
      ),
    cancel: (id) => {
      const tombstone = { specversion: '1.0', id, source: '/test', type: 'order', partitionkey: id }
      return post('orders/events', 'application/cloudevents+json', tombstone)
    },
    stop: async (signal) => {
      running.kill(signal)
      await running.exited
    },
    start: async () => {
      running = await launch()
    },
    async [Symbol.asyncDispose]() {
      await running[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}
