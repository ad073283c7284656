import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { freePorts } from '../services/ports.ts'
import { call, pipelineStatus, until, vectorsIn } from '../support/api.ts'
import { type RunningCli, runCli, startCli, tempFolder } from '../support/cli.ts'

const model = 'all-MiniLM-L6-v2'
const token = 'embedder-token-0123456789'
const texts = 300

const accepted = z.object({ accepted: z.number() })
const embeddings = z.object({
  data: z.array(z.object({ index: z.number(), embedding: z.array(z.number()) })),
  fingerprint: z.string(),
})
const matches = z.object({ matches: z.array(z.object({ id: z.string(), score: z.number() })) })

/** A folder with a pipeline that embeds, as a process of its own would have it. */
async function project(path: string): Promise<string> {
  await mkdir(join(path, 'pipelines'), { recursive: true })
  const pipeline = `
name: notes
source: { topic: notes }
processors: [{ embed: value.text }]
sinks: [{ vectors: { collection: notes, vector: vector, fields: [n] } }]
block: { age: 100ms }
`
  await writeFile(join(path, 'pipelines/notes.yaml'), pipeline)
  return path
}

/** Texts that nobody has embedded before. */
function notes(from: string): { n: number; text: string }[] {
  return Array.from({ length: texts }, (_, n) => ({ n, text: `${from}: note ${n} about order ${n * 7} in ${n % 50}` }))
}

async function metric(address: string, line: string, headers: Record<string, string> = {}): Promise<number> {
  const text = await (await fetch(`${address}/metrics`, { headers })).text()
  const found = text.split('\n').find((each) => each.startsWith(`${line} `))
  return Number(found?.slice(line.length))
}

test('processes share one engine, which may die: nothing is lost, and its vectors are those of the model itself', async () => {
  await using folder = await tempFolder()
  const [port = 0] = await freePorts(1)
  const startEmbedder = () =>
    startCli(['run', '--role', 'embedder'], {
      cwd: folder.path,
      env: {
        MILLRACE_DATA: join(folder.path, 'embedder'),
        MILLRACE_SERVER_PORT: String(port),
        MILLRACE_SERVER_TOKEN: token,
      },
    })
  const remote = {
    MILLRACE_EMBEDDER_REMOTE_URL: `http://127.0.0.1:${port}/v1`,
    MILLRACE_EMBEDDER_REMOTE_API_KEY: token,
  }
  const status = ({ address }: RunningCli) => call(`${address}/v1/pipelines/notes`, pipelineStatus)

  await using first = await startEmbedder()
  const firstFolder = await project(join(folder.path, 'first'))
  await using one = await startCli(['run'], { cwd: firstFolder, env: remote })
  await using two = await startCli(['run'], { cwd: await project(join(folder.path, 'second')), env: remote })
  for (const process of [one, two]) {
    await call(`${process.address}/v1/topics/notes/events`, accepted, notes(process.address))
  }
  await until(async () => (await status(one)).totals.written > 10)
  first.kill('SIGKILL')
  await first.exited
  await until(async () => (await status(one)).state === 'degraded' && (await status(two)).state === 'degraded')
  expect((await status(one)).reason).toContain(`http://127.0.0.1:${port}/v1 cannot be reached`)
  expect((await status(one)).lag).toBeGreaterThan(0)

  await using second = await startEmbedder()
  for (const process of [one, two]) {
    await until(async () => (await status(process)).lag === 0 && (await status(process)).state === 'running')
    expect(await vectorsIn(process.address, 'notes')).toBe(texts)
  }
  const auth = { authorization: `Bearer ${token}` }
  expect(await metric(second.address, 'millrace_embedder_texts_total', auth)).toBeGreaterThan(0)
  expect(await metric(one.address, 'millrace_embedder_request_seconds_count{outcome="unavailable"}')).toBeGreaterThan(0)
  expect(await metric(one.address, 'millrace_embedder_lookups_total{found="none"}')).toBeGreaterThan(0)
  expect((await fetch(`${second.address}/v1/topics`, { headers: auth })).status).toBe(404)
  expect((await fetch(`${second.address}/v1/models`)).status).toBe(401)

  // The same collection, from now on with the model in the process: searches need the same fingerprint.
  const input = notes(one.address).map(({ text }) => text)
  const far = await call(`${one.address}/v1/embeddings`, embeddings, { model, input: input.slice(0, 5) })
  one.kill()
  await one.exited
  await using local = await startCli(['run'], { cwd: firstFolder })
  const near = await call(`${local.address}/v1/embeddings`, embeddings, { model, input: input.slice(0, 5) })
  expect(near).toEqual(far)
  const search = { text: input[17], k: 1 }
  const found = await call(`${local.address}/v1/collections/notes/search`, matches, search)
  expect(found.matches).toEqual([{ id: 'notes/0/17', score: expect.closeTo(1, 3) }])
}, 180_000)

test('a role that is not there is named with the nearest one, and one that runs no pipelines takes no files', async () => {
  await using folder = await tempFolder()
  const misspelt = await runCli(['run', '--role', 'embeder'], { cwd: folder.path })
  expect(misspelt).toMatchObject({ code: 2, stderr: expect.stringContaining('did you mean "embedder"?') })
  const env = { MILLRACE_ROLE: 'embeder' }
  const variable = await runCli(['run'], { cwd: folder.path, env })
  expect(variable).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/did you mean "embedder"\?.*MILLRACE_ROLE/s),
  })
  const files = await runCli(['run', 'pipelines/a.yaml', '--role', 'embedder'], { cwd: folder.path })
  expect(files).toMatchObject({ code: 2, stderr: expect.stringContaining('the role embedder runs no pipelines') })
})

test('an embedder whose model can never be used ends and says why; off loopback it needs a token', async () => {
  await using folder = await tempFolder()
  const run = ['run', '--role', 'embedder']
  const none = await runCli(run, { cwd: folder.path, env: { MILLRACE_EMBEDDER_MODEL: './no-model' } })
  expect(none).toMatchObject({ code: 1, stderr: expect.stringContaining('model_unusable') })
  const open = await runCli([...run, '--host', '0.0.0.0'], { cwd: folder.path })
  expect(open).toMatchObject({ code: 1, stderr: expect.stringContaining('server.token') })
  await using server = await startCli(run, { cwd: folder.path })
  const second = await runCli(run, { cwd: folder.path })
  expect(second).toMatchObject({ code: 1, stderr: expect.stringContaining(`in use by process ${server.pid}`) })
})
