import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { launch, type RunningCli, runCli, startCli, tempFolder } from '../support/cli.ts'

const pipeline = `
name: orders
source: { topic: orders }
processors:
  - filter: value.total > 0
sinks:
  - live: { channel: paid }
`

async function project() {
  const folder = await tempFolder()
  await mkdir(join(folder.path, 'pipelines'))
  await writeFile(join(folder.path, 'pipelines', 'orders.yaml'), pipeline)
  return folder
}

test('the exit code tells wrong usage from failure', async () => {
  await using folder = await tempFolder()
  const run = (...args: string[]) => runCli(args, { cwd: folder.path })
  const [version, usage, failure] = await Promise.all([run('--version'), run('serch', 'x'), run('lint')])
  expect(version).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/) })
  expect(usage).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('(Did you mean search?)') })
  expect(failure).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(/^error: /) })
})

test('without a running process, publish and tap work on the data itself', async () => {
  await using folder = await project()
  const { path: cwd } = folder
  expect(await runCli(['topics', 'create', 'orders'], { cwd })).toMatchObject({ code: 0 })
  const input = '{"customer":"ann","total":1}\n\n{"customer":"bob","total":2}\n'
  expect(await runCli(['publish', 'orders', '--key', '/customer'], { cwd, input })).toMatchObject({
    code: 0,
    stdout: '2 events accepted by orders\n',
  })
  await using tap = launch(['tap', 'orders', '--last', '5', '--json'], { cwd })
  await tap.prints(/bob/)
  const events = tap.stdout().trim().split('\n')
  expect(events.map((line) => JSON.parse(line).key).toSorted()).toEqual(['ann', 'bob'])
  tap.kill('SIGINT')
  expect(await tap.exited).toMatchObject({ code: 0 })
})

describe('with a running process', () => {
  let folder: Awaited<ReturnType<typeof project>>
  let server: RunningCli
  beforeAll(async () => {
    folder = await project()
    server = await startCli(['run'], { cwd: folder.path })
  })
  afterAll(async () => {
    await server[Symbol.asyncDispose]()
    await folder[Symbol.asyncDispose]()
  })
  const publish = (...events: string[]) => runCli(['publish', 'orders', ...events], { cwd: folder.path })

  test('tap follows a channel as events come, and only what its filter lets through', async () => {
    await using tap = launch(['tap', 'paid', '--filter', 'value.customer != "bob"', '--last', '9'], {
      cwd: folder.path,
    })
    await publish('{"customer":"ann","total":3}', '{"customer":"bob","total":4}', '{"customer":"cid","total":0}')
    await tap.prints(/"ann"/)
    await publish('{"customer":"dan","total":3}')
    await tap.prints(/"dan"/)
    expect(tap.stdout()).not.toMatch(/bob|cid/)
    tap.kill('SIGINT')
    expect(await tap.exited).toMatchObject({ code: 0 })
  })

  test('a second process on the same data is refused', async () => {
    const second = await runCli(['run'], { cwd: folder.path })
    expect(second).toMatchObject({ code: 1, stderr: expect.stringContaining(`${server.pid}`) })
    expect(second.stderr).toContain('data_in_use')
  })

  test('a reader that goes away ends the command quietly', async () => {
    const tap = launch(['tap', 'paid', '--last', '10'], { cwd: folder.path })
    await publish('{"customer":"eve","total":1}')
    await tap.prints(/"eve"/)
    tap.closeOutput()
    // The first write fails, and the next one may already find the process gone.
    await publish('{"customer":"fay","total":1}', '{"customer":"gil","total":1}')
    expect(await tap.exited).toMatchObject({ code: 0 })
    expect(tap.stderr()).toBe('')
  })

  test('tap says that the stream has ended', async () => {
    await using folder = await project()
    await using other = await startCli(['run'], { cwd: folder.path })
    await runCli(['publish', 'orders', '{"total":1}'], { cwd: folder.path })
    await using tap = launch(['tap', 'orders', '--server', other.address, '--last', '1'], { cwd: folder.path })
    await tap.prints(/total/)
    other.kill('SIGINT')
    expect(await tap.exited).toMatchObject({ code: 1 })
    expect(tap.stderr()).toContain('stream_ended')
  })
})

describe('run', () => {
  test('prints its address and what runs; the first signal drains and ends it with 0', async () => {
    await using folder = await project()
    await using server = await startCli(['run'], { cwd: folder.path })
    expect(server.stdout()).toMatch(/dashboard +http/)
    await server.prints(/orders → live/)
    server.kill('SIGINT')
    expect(await server.exited).toEqual({ code: 0, signal: null })
    expect(server.stdout()).toMatch(/stopped\n$/)
    expect(server.stderr()).toContain('finishing what was read')
  })

  test('with --json every line is JSON', async () => {
    await using folder = await project()
    await using server = await startCli(['run', '--json'], { cwd: folder.path })
    await server.prints(/"ready"/)
    server.kill('SIGTERM')
    await server.exited
    const lines = server.stdout().trim().split('\n')
    const events = lines.map((line) => JSON.parse(line))
    expect(events[0]).toMatchObject({ event: 'listening', address: server.address, pipelines: ['orders'] })
    expect(events.slice(1)).toEqual([{ event: 'ready' }, { event: 'stopped' }])
  })

  test('a port in use is named, with what to do', async () => {
    await using folder = await project()
    const blocker = createServer().listen(0, '127.0.0.1')
    await once(blocker, 'listening')
    const address = blocker.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const { code, stderr } = await runCli(['run', '--port', String(port)], { cwd: folder.path })
    blocker.close()
    expect(code).toBe(1)
    expect(stderr).toContain(`port ${port}`)
    expect(stderr).toContain('port_in_use')
  })
})
