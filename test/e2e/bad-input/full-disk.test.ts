import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { runCli, startCli } from '../../support/cli.ts'
import { mountProblem, readOnly, smallDisk } from './disk.ts'
import {
  column,
  eventually,
  expectNoTrace,
  pipelineStatus,
  plainPipeline,
  post,
  problemOf,
  project,
  publish,
  query,
} from './support.ts'

const problem = await mountProblem()
const skipped = problem !== undefined && process.env.CI !== 'true'
if (skipped) process.stderr.write(`the tests of a full disk are skipped, for no disk can be mounted: ${problem}\n`)

const vectors = `
name: vectors
source: { topic: vectors }
processors:
  - embed: { text: value.text, as: meaning }
sinks:
  - vectors: { collection: vectors, vector: meaning, fields: [n, pad] }
`
const columns = { n: 'UInt32', pad: 'String' }
const collections = z.object({ collections: z.array(z.object({ name: z.string(), count: z.number() })) })
/** Enough for the log to go on with what it has, and too little for what the stores are to write. */
const almostNothing = 1_300_000

test.skipIf(skipped)(
  'a full disk takes nothing more, loses nothing, and all goes on when there is room',
  async () => {
    await using folder = await project({
      'pipelines/orders.yaml': plainPipeline('orders', { n: 'UInt32' }),
      'pipelines/rows.yaml': plainPipeline('rows', columns),
      'pipelines/vectors.yaml': vectors,
    })
    await using disk = await smallDisk(64)
    const options = { cwd: folder.path, env: { MILLRACE_DATA: disk.path } }
    await using server = await startCli(['run'], options)
    const { address } = server
    const control = async (name: string, what: 'pause' | 'resume') => {
      const response = await fetch(`${address}/v1/pipelines/${name}/${what}`, { method: 'POST' })
      expect(response.status, await response.text()).toBe(200)
    }
    await eventually(async () => expect((await fetch(`${address}/readyz`)).status).toBe(200))
    await publish(address, 'orders', { n: 0 }, { n: 1 })
    await publish(address, 'rows', { n: 0, pad: '' })
    await publish(address, 'vectors', { n: 0, pad: '', text: 'small' })
    for (const name of ['orders', 'rows', 'vectors']) {
      await eventually(async () =>
        expect(await pipelineStatus(address, name)).toMatchObject({ state: 'running', lag: 0 }),
      )
    }

    // What is accepted but not yet written when the disk is full.
    for (const name of ['rows', 'vectors']) await control(name, 'pause')
    const pad = () => randomBytes(150_000).toString('base64')
    const large = Array.from({ length: 20 }, (_, n) => ({ n: n + 1, pad: pad(), text: `text ${n}` }))
    await publish(address, 'rows', ...large)
    await publish(address, 'vectors', ...large)
    await disk.fill(almostNothing)
    await control('rows', 'resume')
    await eventually(async () => {
      const { state, reason } = await pipelineStatus(address, 'rows')
      expect(state).toBe('degraded')
      expect(reason).toMatch(/rows.*clickhouse.*not enough space.*free some space/)
      expectNoTrace(reason ?? '')
    })
    await control('vectors', 'resume')
    await eventually(async () => {
      const { state, reason } = await pipelineStatus(address, 'vectors')
      expect(state).toBe('degraded')
      expect(reason).toMatch(/vectors.*disk.*full.*free some space/i)
      expectNoTrace(reason ?? '')
    })
    const refused = await problemOf(await post(`${address}/v1/topics/orders/events`, '{"n":9001}'))
    expect(refused).toMatchObject({ status: 503, code: 'disk_full', hint: expect.stringContaining('free some space') })
    expect(refused.detail).toContain(disk.path)
    expect(await column(address, 'orders', 'n')).toEqual([0, 1])
    expect((await fetch(`${address}/livez`)).status).toBe(200)

    // Nobody is waited for: the power goes, and the disk is still full at the next start.
    server.kill('SIGKILL')
    await server.exited
    await disk.fill(0)
    for (const command of [['run'], ['publish', 'orders', '{"n":9002}']]) {
      const { code, stdout, stderr } = await runCli(command, options)
      expect(code, stderr).toBe(1)
      expect(stdout).toBe('')
      expect(stderr).toContain('(disk_full)')
      expect(stderr).toContain('free some space')
      expectNoTrace(stderr)
    }
    await disk.fill(0)
    await rm(join(disk.path, 'ballast'))
    await using again = await startCli(['run'], options)
    await expectEverything(again.address, large.length + 1)

    // Filled and emptied under a running process: it goes on by itself.
    await disk.fill(0)
    const late = await problemOf(await post(`${again.address}/v1/topics/orders/events`, '{"n":9003}'))
    expect(late.code).toBe('disk_full')
    await rm(join(disk.path, 'ballast'))
    await publish(again.address, 'orders', { n: 2 })
    await eventually(async () => expect(await column(again.address, 'orders', 'n')).toEqual([0, 1, 2]), 20_000)
    again.kill()
    expect(await again.exited).toEqual({ code: 0, signal: null })
  },
  90_000,
)

async function expectEverything(address: string, count: number): Promise<void> {
  for (const name of ['orders', 'rows', 'vectors']) {
    await eventually(
      async () => expect(await pipelineStatus(address, name)).toMatchObject({ state: 'running', lag: 0 }),
      30_000,
    )
  }
  const [rows] = await query(address, 'SELECT toUInt32(count()) AS rows, toUInt32(uniqExact(n)) AS events FROM rows')
  expect(rows).toEqual({ rows: count, events: count })
  const stored = collections.parse(await (await fetch(`${address}/v1/collections`)).json())
  expect(stored.collections).toEqual([{ name: 'vectors', count }])
}

test.skipIf(skipped)('a data folder that becomes read-only holds its pipelines up, and loses nothing', async () => {
  await using folder = await project({ 'pipelines/orders.yaml': plainPipeline('orders', { n: 'UInt32' }) })
  await using server = await startCli(['run'], { cwd: folder.path })
  const { address } = server
  await eventually(async () => expect((await fetch(`${address}/readyz`)).status).toBe(200))
  await publish(address, 'orders', { n: 0 })
  await eventually(async () => expect(await column(address, 'orders', 'n')).toEqual([0]))
  {
    await using _readOnly = await readOnly(join(folder.path, 'data'))
    // What the log has open it can still write; a store makes new files.
    await publish(address, 'orders', { n: 1 })
    await eventually(async () => {
      const { state, reason } = await pipelineStatus(address, 'orders')
      expect(state).toBe('degraded')
      expect(reason).toMatch(/clickhouse.*Read-only file system.*make its folder writable/)
      expect(reason).not.toMatch(/std::|Poco/)
    })
  }
  await eventually(async () => expect(await column(address, 'orders', 'n')).toEqual([0, 1]), 20_000)
})
