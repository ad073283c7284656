import { once } from 'node:events'
import { appendFile, cp, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  checkFolder,
  checkModel,
  checkNode,
  checkPackage,
  checkPort,
  checkRemoteModel,
  checkServer,
  checkSpace,
} from '../../src/cli/checks.ts'
import { packageRoot } from '../../src/cli/package.ts'
import { modelPlaces } from '../../src/cli/services.ts'
import { FakeOpenAi } from '../embedding/remote/fake-openai.ts'
import { tempFolder } from '../support/cli.ts'

const server = createServer().listen(0, '127.0.0.1')
let folder: Awaited<ReturnType<typeof tempFolder>>
let port = 0

beforeAll(async () => {
  folder = await tempFolder()
  if (!server.listening) await once(server, 'listening')
  const address = server.address()
  port = typeof address === 'object' && address !== null ? address.port : 0
})
afterAll(async () => {
  server.close()
  await folder[Symbol.asyncDispose]()
})

const model = join(packageRoot(), 'models/all-MiniLM-L6-v2')
const named = (name: string) => ({ model: name, hub: { url: 'http://hub.example' } })

test('what is well is well', async () => {
  expect(checkNode().level).toBe('ok')
  expect((await checkFolder(join(folder.path, 'new'))).level).toBe('ok')
  expect((await checkSpace(folder.path)).message).toMatch(/ free for /)
  expect((await checkPackage('zod', 'validation', true)).level).toBe('ok')
  expect((await checkModel(named('all-MiniLM-L6-v2'), modelPlaces(folder.path))).level).toBe('ok')
  expect((await checkServer('ClickHouse', '127.0.0.1', port)).level).toBe('ok')
  expect(await checkPort('127.0.0.1', port, 'http://127.0.0.1:1')).toMatchObject({ level: 'ok' })
})

test('a folder that cannot be written', async () => {
  await writeFile(join(folder.path, 'file'), '')
  expect(await checkFolder(join(folder.path, 'file/data'))).toMatchObject({
    level: 'fail',
    message: expect.stringContaining('file/data cannot be written'),
    hint: expect.stringContaining('--data'),
  })
})

test('a port in use', async () => {
  expect(await checkPort('127.0.0.1', port, undefined)).toMatchObject({
    level: 'fail',
    message: `127.0.0.1:${port} is in use`,
  })
})

test('a server that is not there', async () => {
  expect(await checkServer('ClickHouse', '127.0.0.1', 1)).toMatchObject({
    level: 'fail',
    message: expect.stringContaining('ECONNREFUSED'),
  })
})

test('a package that does not load, needed or not', async () => {
  const needed = await checkPackage('not-a-package-of-ours', 'nothing', true)
  expect(needed).toMatchObject({ level: 'fail', hint: expect.stringContaining('npm install not-a-package-of-ours') })
  expect(needed.message).toContain('Cannot find package')
  expect((await checkPackage('not-a-package-of-ours', 'nothing', false)).level).toBe('ok')
})

test('a model that is damaged, or not there', async () => {
  const damaged = join(folder.path, 'model')
  await cp(model, damaged, { recursive: true })
  await appendFile(join(damaged, 'tokenizer.json'), ' ')
  const places = modelPlaces(folder.path)
  const message = expect.stringContaining('tokenizer.json')
  expect(await checkModel(named(damaged), places)).toMatchObject({ level: 'fail', message })
  expect((await checkModel(named(join(folder.path, 'gone')), places)).level).toBe('fail')
  expect(await checkModel(named('all-MiniLM-L6'), places)).toMatchObject({
    level: 'fail',
    message: 'there is no model "all-MiniLM-L6", did you mean "all-MiniLM-L6-v2"?',
    hint: expect.stringContaining('owner/name on the hub'),
  })
  expect(await checkModel(named('owner/name'), places)).toMatchObject({
    level: 'warn',
    message: 'model owner/name is not downloaded yet',
    hint: expect.stringContaining(join(folder.path, 'models/owner/name@main')),
  })
})

test('a remote model is asked for, and what is wrong with it is told', async () => {
  const options = { model: 'letters', prefixes: {}, batch: 1, batchTokens: 1, concurrency: 1, timeout: 5_000 }
  await using good = await FakeOpenAi.start()
  expect(await checkRemoteModel({ ...options, url: good.url })).toMatchObject({
    level: 'ok',
    message: `model letters at ${new URL(good.url).origin}: 8 dimensions`,
  })
  await using closed = await FakeOpenAi.start({ fault: () => ({ status: 401 }) })
  expect(await checkRemoteModel({ ...options, url: closed.url })).toMatchObject({
    level: 'fail',
    hint: expect.stringContaining('embedder.remote.apiKey'),
  })
})
