import { randomUUID } from 'node:crypto'
import { cp, mkdir, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { openLanceDb } from '../../connectors/lancedb/index.ts'
import { findPostgres } from '../services/postgres.ts'
import { findService } from '../services/services.ts'
import { call, pipelineStatus, sleep, until, vectorsIn } from '../support/api.ts'
import { launch, type RunningCli, runCli, startCli, tempFolder } from '../support/cli.ts'

const pipeline = `
name: tickets
source: { topic: tickets }
id: key
processors:
  - embed: { text: value.text, as: meaning }
sinks:
  - vectors: { collection: tickets, vector: meaning, fields: [text, version] }
  - live: tickets
`
const before = 1_200
const matches = z.object({ matches: z.array(z.object({ id: z.string(), score: z.number() })) })
const foundVersions = z.object({
  matches: z.array(z.object({ id: z.string(), fields: z.object({ version: z.number() }) })),
})
const storedFields = z.object({ text: z.string(), version: z.number() })

let folder: Awaited<ReturnType<typeof tempFolder>>
let newModel: string

beforeEach(async () => {
  folder = await tempFolder()
  await mkdir(join(folder.path, 'pipelines'))
  await writeFile(join(folder.path, 'pipelines/tickets.yaml'), pipeline)
  // Texts are cut earlier, so its vectors are another model's; its files are no longer those of the checksums.
  newModel = join(folder.path, 'models/other')
  await cp(resolve('models/all-MiniLM-L6-v2'), newModel, { recursive: true })
  await rm(join(newModel, 'SHA256SUMS'))
  await writeFile(join(newModel, 'sentence_bert_config.json'), '{"max_seq_length": 48}')
  return () => folder[Symbol.asyncDispose]()
})

/** Publishes new versions of tickets; answers the newest accepted version of each, `undefined` for those deleted. */
function publisher({ address }: RunningCli, topic = 'tickets') {
  const newest = new Map<string, number | undefined>()
  let stopped = false
  const post = async (type: string, body: unknown) => {
    const response = await fetch(`${address}/v1/topics/${topic}/events?key=/id`, {
      method: 'POST',
      headers: { 'content-type': type },
      body: JSON.stringify(body),
    })
    if (!response.ok) throw new Error(await response.text())
  }
  const put = async (ids: readonly string[], version: number) => {
    await post(
      'application/json',
      ids.map((id) => ({ id, version, text: `ticket ${id} in its version ${version}` })),
    )
    for (const id of ids) newest.set(id, version)
  }
  const remove = async (id: string) => {
    const event = { specversion: '1.0', id: `d${id}`, source: '/t', type: 'deleted', partitionkey: id }
    await post('application/cloudevents+json', event)
    newest.set(id, undefined)
  }
  const run = async () => {
    for (let n = 0; !stopped; n++) {
      await put([`live-${n}`, `old-${n % before}`], n + 2)
      if (n % 5 === 4) await remove(`old-${(n * 7) % before}`)
      await sleep(10)
    }
  }
  const stop = () => {
    stopped = true
  }
  return { newest, put, run, stop }
}

const sorted = (entries: Iterable<readonly [string, unknown]>) => [...entries].sort(([a], [b]) => (a < b ? -1 : 1))

async function storedIn(name: string) {
  const store = await openLanceDb(join(folder.path, 'data/lancedb'))
  const collection = await store.find(name)
  const stored: [string, number][] = []
  for await (const page of collection?.scan?.() ?? []) {
    for (const { id, fields } of page) stored.push([id, storedFields.parse(fields).version])
  }
  const fingerprint = collection?.spec.fingerprint
  await store.close()
  return { stored, fingerprint }
}

async function caughtUp({ address }: RunningCli, name = 'tickets'): Promise<void> {
  await until(async () => {
    const { lag, state } = await call(`${address}/v1/pipelines/${name}`, pipelineStatus)
    return state === 'running' && lag === 0
  })
}

const search = ({ address }: RunningCli, text: string) =>
  call(`${address}/v1/collections/tickets/search`, matches, { text, k: 3 })

describe('a collection is moved to another model', () => {
  test('while events come in, across kills, with every event in it once', async () => {
    const { path: cwd } = folder
    const old = await startCli(['run'], { cwd })
    const tickets = publisher(old)
    const ids = Array.from({ length: before }, (_, n) => `old-${n}`)
    for (let from = 0; from < before; from += 200) await tickets.put(ids.slice(from, from + 200), 1)
    const publishing = tickets.run()

    const args = ['migrate', 'tickets', '--model', newModel, '--json']
    const first = launch(args, { cwd })
    await first.prints(/"step":"started"/, 30_000)
    const second = await runCli(args, { cwd })
    expect(second).toMatchObject({ code: 1, stderr: expect.stringContaining('"code":"migration_running"') })
    await first.prints(/"step":"log"/, 30_000)
    first.kill('SIGKILL')
    await first.exited
    expect((await search(old, 'ticket old-7')).matches).toHaveLength(3)

    // And at the worst moment: writers are being held.
    const third = launch(args, { cwd })
    await third.prints(/"step":"switching"/, 60_000)
    await sleep(250)
    third.kill('SIGKILL')
    await third.exited

    const again = await runCli(args, { cwd })
    expect(again.stderr).toBe('')
    expect(again.stdout).toMatch(/"step":"started".*"resumed":true/)
    expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining('"outcome":"switched"') })

    // The old process cannot make such vectors; it stops writing, and loses nothing.
    await until(async () => {
      const { state, reason } = await call(`${old.address}/v1/pipelines/tickets`, pipelineStatus)
      return state === 'failed' && /another model/.test(reason ?? '')
    })
    await sleep(300)
    tickets.stop()
    await publishing
    await old[Symbol.asyncDispose]()

    const env = { MILLRACE_EMBEDDER_MODEL: newModel }
    const next = await startCli(['run'], { cwd, env })
    await caughtUp(next)
    const found = await search(next, 'ticket live-3 in its version 5')
    expect(found.matches[0]).toMatchObject({ id: 'live-3', score: expect.closeTo(1, 2) })
    await next[Symbol.asyncDispose]()

    const [moved, left] = [await storedIn('tickets-2'), await storedIn('tickets')]
    expect(moved.fingerprint).not.toBe(left.fingerprint)
    const expected = [...tickets.newest].filter(([, version]) => version !== undefined)
    expect(expected.length).toBeGreaterThan(before / 2)
    expect(sorted(moved.stored)).toEqual(sorted(expected))

    const once = await runCli(args, { cwd })
    expect(once).toMatchObject({ code: 0, stdout: expect.stringContaining('"outcome":"unchanged"') })
  }, 240_000)

  test('with what the log no longer has, out of the store', async () => {
    const { path: cwd } = folder
    const first = await startCli(['run'], { cwd })
    const tickets = publisher(first)
    await tickets.put(['a', 'b', 'c'], 1)
    await caughtUp(first)
    await first[Symbol.asyncDispose]()
    await keepOldPoint('ancient', 'a ticket from long ago')

    const args = ['migrate', 'tickets', '--model', newModel]
    const begun = await runCli([...args, '--to', 'tickets-new', '--text', 'value.nothing'], { cwd })
    expect(begun).toMatchObject({ code: 1, stderr: expect.stringContaining('(text_failed)') })
    const without = await runCli(args, { cwd })
    expect(without).toMatchObject({ code: 1, stderr: expect.stringContaining('(text_missing)') })
    const moved = await runCli([...args, '--text', 'value.text'], { cwd })
    expect(moved).toMatchObject({ code: 0, stdout: 'tickets is now in tickets-new, 4 vectors\n' })

    await using next = await startCli(['run'], { cwd, env: { MILLRACE_EMBEDDER_MODEL: newModel } })
    const { matches: found } = await search(next, 'a ticket from long ago')
    expect(found[0]).toMatchObject({ id: 'ancient', score: expect.closeTo(1, 2) })
  }, 120_000)

  test('a collection that no pipeline writes is refused, and so is a name that is taken', async () => {
    const { path: cwd } = folder
    expect(await runCli(['migrate', 'ticket'], { cwd })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('No pipeline writes to the collection "ticket"'),
    })
    expect(await runCli(['migrate', 'tickets', '--model', newModel, '--to', 'tickets'], { cwd })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('(collection_exists)'),
    })
  }, 60_000)
})

const postgres = await findPostgres()
const kafka = await findService('kafka')
describe.each<[string, Record<string, string | undefined>]>([
  ['LanceDB', {}],
  ['pgvector', { MILLRACE_VECTORS_PGVECTOR_URL: postgres }],
  ['LanceDB, with events in Kafka', { MILLRACE_KAFKA_BROKERS: kafka }],
])('with the same model, in %s', (_where, settings) => {
  const there = Object.values(settings).every((value) => value !== undefined)
  const bound = Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, value ?? '']))

  test.skipIf(!there)(
    'a collection is made anew without anyone noticing',
    async () => {
      const { path: cwd } = folder
      // Tests share the servers: what is in them needs names of its own.
      const name = `tickets-${randomUUID()}`
      const renamed = pipeline.replaceAll(/(name|topic|collection): tickets/g, `$1: ${name}`)
      await writeFile(join(cwd, 'pipelines/tickets.yaml'), renamed.replace('live: tickets', `live: ${name}`))
      await using running = await startCli(['run'], { cwd, env: bound })
      const tickets = publisher(running, name)
      await tickets.put(
        Array.from({ length: 300 }, (_, n) => `old-${n}`),
        1,
      )
      await caughtUp(running, name)
      const publishing = tickets.run()
      const args = ['migrate', name, '--reindex', '--json']
      const moved = await runCli(args, { cwd, env: bound })
      expect(moved).toMatchObject({ code: 0, stdout: expect.stringContaining(`"current":"${name}-2"`) })
      await sleep(500)
      tickets.stop()
      await publishing
      await caughtUp(running, name)
      const expected = [...tickets.newest].filter(([, version]) => version !== undefined)
      expect(await vectorsIn(running.address, name)).toBe(expected.length)
      const all = await call(`${running.address}/v1/collections/${name}/search`, foundVersions, {
        text: 'ticket',
        k: 1_000,
      })
      const versions = all.matches.map(({ id, fields }) => [id, fields.version] as const)
      const kept = new Map(expected)
      expect(versions.filter(([id, version]) => kept.get(id) !== version)).toEqual([])
      expect(versions).toHaveLength(Math.min(1_000, expected.length))
      const { state } = await call(`${running.address}/v1/pipelines/${name}`, pipelineStatus)
      expect(state).toBe('running')
    },
    120_000,
  )
})

/** Puts a point into the collection as an event did that the log has dropped since. */
async function keepOldPoint(id: string, text: string): Promise<void> {
  const store = await openLanceDb(join(folder.path, 'data/lancedb'))
  const found = await store.find('tickets')
  if (found === undefined) throw new Error('there is no collection tickets')
  const collection = await store.open(found.spec)
  const vector = new Float32Array(collection.spec.dimension).fill(1)
  const position = { topic: 'tickets', partition: 0, offset: 0 }
  expect(await collection.upsert([{ id, vector, fields: { text, version: 1 }, timestamp: 1, position }])).toEqual([])
  await store.close()
}
