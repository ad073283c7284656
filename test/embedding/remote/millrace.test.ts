import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { createAccess } from '../../../src/access/index.ts'
import { Fatal } from '../../../src/core/errors.ts'
import type { Work } from '../../../src/embedding/backend.ts'
import { type CachingEmbedder, createEmbedder } from '../../../src/embedding/embedder.ts'
import { openLocalBackend } from '../../../src/embedding/local/index.ts'
import { readModel } from '../../../src/embedding/models/model.ts'
import { createEmbedderApp, defaultServerLimits, type Listening, listen } from '../../../src/server/index.ts'
import { createMetrics, silentLog } from '../../../src/telemetry/index.ts'
import { modelFolder } from '../support.ts'
import { openBackend } from './work.ts'

const prefixes = { query: 'query: ', passage: 'passage: ' }
const token = 'a token of the embedder'.replaceAll(' ', '-')

let local: CachingEmbedder
let submitted: Work[] = []
let server: Listening
beforeAll(async () => {
  const backend = openLocalBackend({ model: await readModel(modelFolder, { prefixes }), workers: 1 })
  const submit = backend.submit.bind(backend)
  backend.submit = (work) => {
    submitted.push(work)
    submit(work)
  }
  local = await createEmbedder({ backend, memoryBytes: 0 })
  server = await serve(local)
})
afterAll(async () => {
  await server.close()
  await local.close()
})

async function serve(embedder: CachingEmbedder, port = 0): Promise<Listening> {
  const metrics = createMetrics()
  const context = {
    services: { embedder: async () => embedder },
    access: await createAccess({ token }),
    metrics,
    log: silentLog,
    ready: () => ({ ready: true, reasons: [] }),
    version: '0.1.0',
    limits: defaultServerLimits,
  }
  metrics.close()
  return listen(createEmbedderApp(context), context, { host: '127.0.0.1', port })
}

const settings = { model: 'all-MiniLM-L6-v2', apiKey: token, batch: 7 }
const open = (options = {}) => openBackend(`${server.address}/v1`, { ...settings, ...options })

async function openRemote(options = {}): Promise<CachingEmbedder> {
  const embedder = await createEmbedder({ backend: await open(options), memoryBytes: 0 })
  onTestFinished(() => embedder.close())
  return embedder
}

test('the model is the same as there, to the last bit of its vectors', async () => {
  const remote = await openRemote()
  const { model, fingerprint, dimension, maxTokens } = local
  expect(remote).toMatchObject({ model, fingerprint, dimension, maxTokens, prefixes })
  const texts = ['', 'query: how', 'passage: so', ...Array.from({ length: 20 }, (_, n) => `ticket ${n} was paid twice`)]
  for (const purpose of ['query', 'passage'] as const) {
    expect(await remote.embed(texts, { purpose })).toEqual(await local.embed(texts, { purpose }))
  }
})

test('tokens are counted there', async () => {
  const remote = await openRemote()
  const texts = Array.from({ length: 20 }, (_, n) => 'unbelievable '.repeat(n))
  expect(await remote.countTokens(texts)).toEqual(await local.countTokens(texts))
})

test('bulk work of one text stays bulk work, and each text has the prefix of its purpose once', async () => {
  const remote = await openRemote()
  submitted = []
  await remote.embed(['a'], { priority: 'bulk' })
  await remote.embed(['b'], { priority: 'query', purpose: 'query' })
  await remote.embed(['c', 'd'], { priority: 'query' })
  expect(submitted.map(({ text, priority }) => `${priority} ${text}`)).toEqual([
    'bulk passage: a',
    'query query: b',
    'query passage: c',
    'query passage: d',
  ])
})

test.each([
  [{ model: 'other' }, 'Set embedder.model to all-MiniLM-L6-v2'],
  [{ dimension: 128 }, 'leave them out here'],
  [{ prefixes: { query: 'q: ' } }, 'leave them out here'],
  [{ apiKey: 'a wrong key'.replaceAll(' ', '-') }, 'embedder.remote.apiKey'],
])('settings that do not fit are refused: %o', async (options, hint) => {
  const error: unknown = await open(options).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(Fatal)
  expect(error).toMatchObject({ code: 'model_unusable', hint: expect.stringContaining(hint) })
})

test('another model behind the same name is noticed before any of its vectors is used', async () => {
  const model = await readModel(modelFolder, { prefixes: { query: 'query: ', passage: 'other: ' } })
  const other = await createEmbedder({ backend: openLocalBackend({ model, workers: 1 }) })
  onTestFinished(() => other.close())
  const first = await serve(local)
  const backend = await openBackend(`${first.address}/v1`, settings)
  await first.close()
  const second = await serve(other, Number(new URL(first.address).port))
  onTestFinished(() => second.close())
  const remote = await createEmbedder({ backend })
  const error: unknown = await remote.embed(['a']).catch((reason: unknown) => reason)
  expect(error).toMatchObject({ code: 'model_unusable', message: expect.stringContaining('another model') })
})
