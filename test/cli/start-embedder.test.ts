import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { startEmbedder } from '../../src/cli/start-embedder.ts'
import { loadRuntime } from '../../src/config/runtime.ts'
import { createLog, type Log, silentLog } from '../../src/telemetry/index.ts'
import { FakeOpenAi, type Fault } from '../embedding/remote/fake-openai.ts'
import { until } from '../support/api.ts'
import { tempFolder } from '../support/cli.ts'

/** An embedder that passes texts on to a server that is not its own. */
async function start(folder: string, url: string, env: Record<string, string> = {}, log: Log = silentLog) {
  const runtime = await loadRuntime({
    cwd: folder,
    env: {
      MILLRACE_ROLE: 'embedder',
      MILLRACE_SERVER_PORT: '0',
      MILLRACE_EMBEDDER_MODEL: 'letters',
      MILLRACE_EMBEDDER_REMOTE_URL: url,
      ...env,
    },
  })
  const embedder = await startEmbedder({ runtime, log })
  embedder.ready.catch(() => undefined)
  onTestFinished(() => embedder.stop(new AbortController().signal))
  return embedder
}

async function readiness(address: string) {
  const response = await fetch(`${address}/readyz`)
  return { status: response.status, body: await response.json() }
}

test('it is ready once a text could be embedded, and says until then what is missing', async () => {
  await using folder = await tempFolder()
  let fault: Fault | undefined = { status: 503, json: () => ({ error: { message: 'warming up' } }) }
  await using server = await FakeOpenAi.start({ fault: () => fault })
  const lines: string[] = []
  const log = createLog({ write: (line) => lines.push(line), format: 'json' })
  const { address, ready } = await start(folder.path, server.url, {}, log)
  await until(async () => JSON.stringify((await readiness(address)).body).includes('warming up'))
  const asked = server.asked.length
  await until(async () => server.asked.length > asked + 1)
  expect(lines.filter((line) => line.includes('not ready yet'))).toEqual([expect.stringContaining('warming up')])
  expect(await readiness(address)).toMatchObject({ status: 503, body: { ready: false } })
  expect((await fetch(`${address}/v1/models`)).status).toBe(503)
  fault = undefined
  await ready
  expect(await readiness(address)).toEqual({ status: 200, body: { ready: true, reasons: [] } })
})

test('a model that can never be used ends it', async () => {
  await using folder = await tempFolder()
  await using server = await FakeOpenAi.start({ fault: () => ({ status: 404 }) })
  const { address, ended } = await start(folder.path, server.url)
  await expect(ended).rejects.toMatchObject({ code: 'model_unusable' })
  expect((await readiness(address)).status).toBe(503)
})

test('one whose server has another model than before ends, so that another process can take its place', async () => {
  await using folder = await tempFolder()
  let fault: Fault | undefined
  await using server = await FakeOpenAi.start({ fault: () => fault })
  const { address, ready, ended } = await start(folder.path, server.url)
  await ready
  fault = { json: () => ({ data: [{ index: 0, embedding: [1, 0, 0] }] }) }
  const init = { method: 'POST', body: JSON.stringify({ model: 'letters', input: 'a' }) }
  expect((await fetch(`${address}/v1/embeddings`, init)).status).toBe(500)
  await expect(ended).rejects.toMatchObject({
    code: 'model_unusable',
    message: expect.stringContaining('another model'),
  })
  expect(await readiness(address)).toMatchObject({
    status: 503,
    body: { reasons: [expect.stringContaining('another')] },
  })
})

test.each([
  [{}, true, 1],
  [{ MILLRACE_EMBEDDER_CACHE_DISK: '0' }, false, 1],
  [{ MILLRACE_EMBEDDER_CACHE_DISK: '0', MILLRACE_EMBEDDER_CACHE_MEMORY: '0' }, false, 2],
])('vectors are kept where the settings say: %o', async (env, onDisk, requests) => {
  await using folder = await tempFolder()
  await using server = await FakeOpenAi.start()
  const { address, ready } = await start(folder.path, server.url, env)
  await ready
  const before = server.asked.length
  const init = { method: 'POST', body: JSON.stringify({ model: 'letters', input: 'twice' }) }
  for (let time = 0; time < 2; time++) expect((await fetch(`${address}/v1/embeddings`, init)).status).toBe(200)
  expect(server.asked.length - before).toBe(requests)
  expect((await readdir(join(folder.path, 'data'))).includes('embeddings')).toBe(onDisk)
})

test('its metrics tell of the cache, the work and the requests', async () => {
  await using folder = await tempFolder()
  await using server = await FakeOpenAi.start()
  const { address, ready } = await start(folder.path, server.url)
  await ready
  const init = { method: 'POST', body: JSON.stringify({ model: 'letters', input: ['a', 'b', 'a'] }) }
  for (let time = 0; time < 2; time++) await fetch(`${address}/v1/embeddings`, init)
  const text = await (await fetch(`${address}/metrics`)).text()
  // The text that made it ready, and these.
  for (const line of [
    'millrace_embedder_lookups_total{found="none"} 3',
    'millrace_embedder_lookups_total{found="in_flight"} 1',
    'millrace_embedder_lookups_total{found="memory"} 3',
    'millrace_embedder_lookups_total{found="disk"} 0',
    'millrace_embedder_lookups_total{found="shared"} 0',
    'millrace_embedder_texts_total 3',
    'millrace_embedder_tokens_total 3',
    'millrace_embedder_batches_total 2',
    'millrace_embedder_queue 0',
    'millrace_embedder_callers_waiting 0',
    'millrace_embedder_threads 4',
    'millrace_embedder_restarts_total 0',
    'millrace_embedder_truncated_total 0',
    'millrace_embedder_request_seconds_count{outcome="ok"} 3',
    'millrace_embedder_request_seconds_count{outcome="error"} 1',
  ]) {
    expect(text).toContain(`${line}\n`)
  }
})
