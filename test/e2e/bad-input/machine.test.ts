import { cp, mkdir, open, readFile, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { runCli, startCli } from '../../support/cli.ts'
import { mountProblem, readOnly } from './disk.ts'
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
  texts,
} from './support.ts'

const orders = plainPipeline('orders', { n: 'UInt32' })
const model = new URL('../../../models/all-MiniLM-L6-v2', import.meta.url)

const problem = await mountProblem()
const skipped = problem !== undefined && process.env.CI !== 'true'
if (skipped) process.stderr.write(`the test of a read-only folder is skipped, for none can be mounted: ${problem}\n`)

describe('one data folder, one port', () => {
  test('a second process is refused either by name of the first one, which goes on', async () => {
    await using folder = await project({ 'pipelines/orders.yaml': orders })
    await using other = await project({ 'pipelines/orders.yaml': orders })
    await using first = await startCli(['run'], { cwd: folder.path })
    await publish(first.address, 'orders', { n: 0 })
    const { port } = new URL(first.address)

    const [sameData, samePort] = await Promise.all([
      runCli(['run'], { cwd: folder.path }),
      runCli(['run', '--port', port], { cwd: other.path }),
    ])
    expect(sameData).toMatchObject({ code: 1, stdout: '' })
    expect(sameData.stderr).toContain(`is in use by process ${first.pid} at ${first.address}`)
    expect(sameData.stderr).toContain('(data_in_use)')
    expect(sameData.stderr).toContain('stop that process, or run this one on another folder')
    expect(samePort).toMatchObject({ code: 1, stdout: '' })
    expect(samePort.stderr).toContain(`listens on port ${port} of 127.0.0.1`)
    expect(samePort.stderr).toContain('(port_in_use)')
    expect(samePort.stderr).toContain('take another port')
    for (const { stderr } of [sameData, samePort]) {
      expect(stderr.trim().split('\n')).toHaveLength(2)
      expectNoTrace(stderr)
    }

    // A command that only wants the data gets it from the process that has it.
    const { code, stdout } = await runCli(['publish', 'orders', '{"n":1}'], { cwd: folder.path })
    expect({ code, stdout }).toEqual({ code: 0, stdout: '1 event accepted by orders\n' })
    await eventually(async () => expect(await column(first.address, 'orders', 'n')).toEqual([0, 1]))
    // What did not start holds nothing.
    await using started = await startCli(['run'], { cwd: other.path })
    await publish(started.address, 'orders', { n: 7 })
  })

  test('whoever was killed does not keep the folder', async () => {
    await using folder = await project({ 'pipelines/orders.yaml': orders })
    await using first = await startCli(['run'], { cwd: folder.path })
    await publish(first.address, 'orders', { n: 0 })
    first.kill('SIGKILL')
    await first.exited
    await using second = await startCli(['run'], { cwd: folder.path })
    await eventually(async () => expect(await column(second.address, 'orders', 'n')).toEqual([0]))
  })
})

describe('a data folder that cannot be written', () => {
  test.skipIf(skipped)('nothing starts on it, and what is in it stays', async () => {
    await using folder = await project({ 'pipelines/orders.yaml': orders })
    {
      await using server = await startCli(['run'], { cwd: folder.path })
      await publish(server.address, 'orders', { n: 0 })
      server.kill()
      expect((await server.exited).code).toBe(0)
    }
    const data = join(folder.path, 'data')
    {
      await using _readOnly = await readOnly(data)
      for (const command of [['run'], ['run', '--data', 'data/below'], ['publish', 'orders', '{"n":1}']]) {
        const { code, stdout, stderr } = await runCli(command, { cwd: folder.path })
        expect(code, stderr).toBe(1)
        expect(stdout).toBe('')
        expect(stderr).toMatch(
          new RegExp(`data folder ${data}.* (cannot be written|cannot be created).*read-only`, 'is'),
        )
        expect(stderr).toMatch(/^hint: /m)
        expect(stderr.trim().split('\n')).toHaveLength(2)
        expectNoTrace(stderr)
      }
      const doctor = await runCli(['doctor'], { cwd: folder.path })
      expect(doctor.code).toBe(1)
      expect(doctor.stdout).toMatch(/✗ .*data cannot be written: .*read-only/)
    }
    await using server = await startCli(['run'], { cwd: folder.path })
    await publish(server.address, 'orders', { n: 2 })
    await eventually(async () => expect(await column(server.address, 'orders', 'n')).toEqual([0, 2]))
  })

  test('a file in its place', async () => {
    await using folder = await project({ 'pipelines/orders.yaml': orders, data: 'not a folder' })
    const { code, stderr } = await runCli(['run'], { cwd: folder.path })
    expect(code).toBe(1)
    expect(stderr).toContain(`${join(folder.path, 'data')} cannot be created: a file stands in its way`)
    expect(stderr).toContain('--data')
    expectNoTrace(stderr)
  })
})

describe('a corrupt model', () => {
  test.each([
    ['onnx/model_quantized.onnx', flipByte],
    ['tokenizer.json', halve],
  ])('%s fails the pipelines that embed, and no others, until it is restored', async (name, damage) => {
    await using folder = await project({
      'millrace.yaml': 'embedder: { model: ./model }\n',
      'pipelines/orders.yaml': orders,
      'pipelines/texts.yaml': texts,
    })
    const file = join(folder.path, 'model', name)
    await mkdir(join(folder.path, 'model'))
    await cp(model, join(folder.path, 'model'), { recursive: true })
    const good = await readFile(file)
    await damage(file)
    await using server = await startCli(['run'], { cwd: folder.path })
    const { address } = server

    const { reason = '' } = await eventually(async () => {
      const status = await pipelineStatus(address, 'texts')
      expect(status.state).toBe('failed')
      return status
    })
    expect(reason).toContain(`the model file ${file} is corrupt`)
    expect(reason).toMatch(/its SHA-256 is [0-9a-f]{64}, expected [0-9a-f]{64}/)
    expect(reason).toContain('Restore the file')
    expect(server.stderr().match(/is corrupt/g)).toHaveLength(1)
    expectNoTrace(server.stderr())
    expect(await (await fetch(`${address}/readyz`)).json()).toEqual({
      ready: true,
      reasons: [`pipeline texts has failed: ${reason}`],
    })
    const asked = await problemOf(await post(`${address}/v1/embeddings`, JSON.stringify({ model: 'x', input: 'x' })))
    expect(asked).toMatchObject({ status: 500, code: 'model_unusable', detail: reason })

    await publish(address, 'texts', { text: 'kept until it can be embedded' })
    await publish(address, 'orders', { n: 0 })
    await eventually(async () => expect(await column(address, 'orders', 'n')).toEqual([0]))

    const restored = await open(file, 'w')
    await restored.writeFile(good)
    await restored.close()
    expect(await runCli(['pipelines', 'resume', 'texts'], { cwd: folder.path })).toMatchObject({ code: 0 })
    await eventually(async () =>
      expect(await pipelineStatus(address, 'texts')).toMatchObject({ state: 'running', lag: 0 }),
    )
    const search = await post(`${address}/v1/collections/texts/search`, JSON.stringify({ text: 'kept', k: 2 }))
    expect(await search.json()).toMatchObject({ matches: [{ id: 'texts/0/0' }] })
    expect(await (await fetch(`${address}/readyz`)).json()).toEqual({ ready: true, reasons: [] })
  })

  async function flipByte(path: string): Promise<void> {
    const file = await open(path, 'r+')
    const at = Math.floor((await file.stat()).size / 2)
    const byte = Buffer.alloc(1)
    await file.read(byte, 0, 1, at)
    byte.writeUInt8(byte.readUInt8() ^ 0xff)
    await file.write(byte, 0, 1, at)
    await file.close()
  }

  async function halve(path: string): Promise<void> {
    await truncate(path, (await stat(path)).size / 2)
  }
})
