import { once } from 'node:events'
import { readdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { readPipelines } from '../../src/cli/project.ts'
import { startMillrace } from '../../src/cli/start.ts'
import { storedPipelines } from '../../src/cli/stored-pipelines.ts'
import { loadRuntime } from '../../src/config/runtime.ts'
import { createLog } from '../../src/telemetry/index.ts'
import { call, pipelineStatus, until } from '../support/api.ts'
import { tempFolder } from '../support/cli.ts'
import { recordingTerminal } from '../support/terminal.ts'

const pipeline = (name: string, sink: string) => `
name: ${name}
source: { topic: ${name} }
sinks:
  - ${sink}
block: { age: 10ms }
`
const positions = z.object({ accepted: z.literal(1) })

async function start(folder: string, yaml: string, options: { env?: NodeJS.ProcessEnv; drainMs?: number } = {}) {
  const env = { MILLRACE_DATA: join(folder, 'data'), MILLRACE_SERVER_PORT: '0', ...options.env }
  const runtime = await loadRuntime({ env, cwd: folder })
  const file = join(folder, 'pipeline.yaml')
  await writeFile(file, yaml)
  const specs = await readPipelines({ runtime, files: [file], folder }, recordingTerminal())
  const lines: string[] = []
  const log = createLog({ write: (line) => lines.push(line), format: 'json' })
  return { lines, running: await startMillrace({ runtime, specs, log, drainMs: options.drainMs }) }
}

/** A ClickHouse that has every table and takes no row: it is overloaded. */
async function fullClickHouse() {
  const server = createServer((request, response) => {
    const inserts = decodeURIComponent(request.url ?? '').includes('INSERT')
    request.resume().on('end', () => response.writeHead(inserts ? 503 : 200).end('{"meta":[],"data":[]}'))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return { url: `http://127.0.0.1:${port}`, [Symbol.dispose]: () => void server.close() }
}

test('a sink that is down does not keep the process from ending', async () => {
  await using folder = await tempFolder()
  using clickhouse = await fullClickHouse()
  const env = { CLICKHOUSE_URL: clickhouse.url }
  const yaml = pipeline('orders', 'clickhouse: { table: orders, columns: { n: UInt32 } }')
  const { running, lines } = await start(folder.path, yaml, { env, drainMs: 300 })
  const { address, ready, stop } = running
  await ready
  await call(`${address}/v1/topics/orders/events`, positions, { n: 1 })
  await until(async () => (await call(`${address}/v1/pipelines/orders`, pipelineStatus)).state === 'degraded')
  const started = performance.now()
  await stop(new AbortController().signal)
  expect(performance.now() - started).toBeLessThan(5_000)
  const said = lines.filter((line) => line.includes('replayed at the next start'))
  expect(said).toEqual([expect.stringContaining('within 0.3 s')])
})

test('it is ready when its pipelines run, and what was put is started again', async () => {
  await using folder = await tempFolder()
  const first = await start(folder.path, pipeline('orders', 'live: orders'))
  await first.running.ready
  const { address } = first.running
  expect((await fetch(`${address}/readyz`)).status).toBe(200)
  expect((await call(`${address}/v1/pipelines/orders`, pipelineStatus)).state).toBe('running')
  const put = { method: 'PUT', body: pipeline('reviews', 'live: reviews') }
  expect((await fetch(`${address}/v1/pipelines/reviews`, put)).status).toBe(200)
  await first.running.stop(new AbortController().signal)

  const second = await start(folder.path, pipeline('orders', 'live: orders'))
  expect(second.running.pipelines).toEqual(['orders', 'reviews'])
  await second.running.stop(new AbortController().signal)
  expect(second.lines.join()).not.toContain('replayed')
})

test('a stored pipeline is its old text or its new one, and a folder that cannot be read is told', async () => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'pipelines')
  const stored = storedPipelines(path)
  expect(await stored.load()).toEqual([])
  await stored.keep('b', 'name: b')
  await stored.keep('a', 'name: a')
  await stored.keep('b', 'name: b2')
  await writeFile(join(path, 'c.yaml.new'), 'name: half wri')
  expect((await stored.load()).map(({ text }) => text)).toEqual(['name: a', 'name: b2'])
  await stored.keep('a', undefined)
  expect(await readdir(path)).toEqual(['b.yaml', 'c.yaml.new'])
  await writeFile(join(folder.path, 'file'), '')
  await expect(storedPipelines(join(folder.path, 'file')).load()).rejects.toThrow('ENOTDIR')
})
