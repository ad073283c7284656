import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { checkBinding } from '../../src/cli/checks.ts'
import { readPipelines } from '../../src/cli/project.ts'
import { missingParts } from '../../src/cli/role-bindings.ts'
import { startMillrace } from '../../src/cli/start.ts'
import { loadRuntime } from '../../src/config/runtime.ts'
import type { Role } from '../../src/core/role.ts'
import { createLog } from '../../src/telemetry/index.ts'
import { Socket } from '../live/socket.ts'
import { freePorts } from '../services/ports.ts'
import { startRedis } from '../services/redis.ts'
import { canStart, findService } from '../services/services.ts'
import { call, pipelineStatus, until } from '../support/api.ts'
import { callCli } from '../support/call-cli.ts'
import { tempFolder } from '../support/cli.ts'
import { recordingTerminal } from '../support/terminal.ts'

const redis = await findService('redis')
const problem = z.object({ code: z.string(), detail: z.string(), hint: z.string() })
const ticks = `
name: ticks
source: { generate: { value: { n: { sequence: true } }, rate: 100 } }
sinks: [{ live: ticks }]
block: { age: 20ms }
`

function runtimeOf(role: Role, folder: string, env: Readonly<Record<string, string>> = {}) {
  const given = { MILLRACE_ROLE: role, MILLRACE_DATA: join(folder, 'data'), MILLRACE_SERVER_PORT: '0', ...env }
  return loadRuntime({ env: given, cwd: folder })
}

async function start(role: Role, folder: string, env: Readonly<Record<string, string>> = {}, yaml?: string) {
  const runtime = await runtimeOf(role, folder, env)
  const file = join(folder, 'pipeline.yaml')
  if (yaml !== undefined) await writeFile(file, yaml)
  const files = yaml === undefined ? [] : [file]
  const specs = await readPipelines({ runtime, files, folder }, recordingTerminal())
  const lines: string[] = []
  const log = createLog({ write: (line) => lines.push(line), format: 'json' })
  const running = await startMillrace({ runtime, specs, log })
  onTestFinished(() => running.stop(new AbortController().signal))
  return { ...running, lines }
}

async function refused(address: string, path: string, init?: RequestInit) {
  const response = await fetch(address + path, init)
  return { status: response.status, ...problem.parse(await response.json()) }
}

describe.skipIf(redis === undefined)('a processor and gateways on one Redis, in one data folder', () => {
  const bound = () => ({ MILLRACE_REDIS_URL: redis ?? '', MILLRACE_REDIS_PREFIX: `roles-${randomUUID()}` })

  test('what the processor makes reaches the clients of every gateway', async () => {
    await using folder = await tempFolder()
    const env = bound()
    const gateways = [await start('gateway', folder.path, env), await start('gateway', folder.path, env)]
    const processor = await start('processor', folder.path, env, ticks)
    await Promise.all([processor, ...gateways].map(({ ready }) => ready))
    expect(processor.pipelines).toEqual(['ticks'])
    for (const { address, pipelines } of gateways) {
      expect(pipelines).toEqual([])
      const socket = await Socket.open(address)
      socket.send({ id: 1, type: 'subscribe', channel: 'ticks', since: { last: 1 } })
      const { events } = await socket.ofType('events')
      expect(events).toContainEqual(expect.objectContaining({ value: { n: expect.any(Number) } }))
      socket.close()
    }
  })

  test('each answers its part, and says where it does not that this is its role', async () => {
    await using folder = await tempFolder()
    const env = bound()
    const gateway = await start('gateway', folder.path, env)
    const processor = await start('processor', folder.path, env, ticks)
    expect((await call(`${processor.address}/v1/pipelines/ticks`, pipelineStatus)).state).not.toBe('failed')
    for (const { address } of [gateway, processor]) {
      for (const path of ['/livez', '/readyz', '/metrics', '/openapi.json']) {
        expect((await fetch(address + path)).status, path).toBeLessThan(504)
      }
    }
    for (const path of ['/v1/topics', '/v1/channels', '/v1/live/ticks', '/v1/collections', '/', '/v1/live']) {
      const answer = await refused(processor.address, path)
      expect(answer).toMatchObject({ status: 404, hint: expect.stringContaining('the role processor') })
    }
    expect(await refused(gateway.address, '/v1/pipelines')).toMatchObject({
      status: 404,
      hint: expect.stringContaining('the role gateway'),
    })
    const paths = z.object({ paths: z.record(z.string(), z.unknown()) })
    const described = Object.keys((await call(`${processor.address}/openapi.json`, paths)).paths)
    expect(described).toContain('/v1/pipelines')
    expect(described).not.toContain('/v1/topics')
  })

  test('a gateway has nothing of its own: what is not bound it refuses, by name', async () => {
    await using folder = await tempFolder()
    const { address } = await start('gateway', folder.path, bound())
    const json = { method: 'POST', headers: { 'content-type': 'application/json' } }
    const publish = await refused(address, '/v1/topics/orders/events', { ...json, body: '[{}]' })
    expect(publish).toMatchObject({ status: 501, code: 'not_bound', hint: expect.stringContaining('Bind Kafka') })
    const query = await refused(address, '/v1/query', { ...json, body: '{"sql":"SELECT 1"}' })
    expect(query).toMatchObject({ status: 501, hint: expect.stringContaining('Bind ClickHouse') })
    expect(await refused(address, '/v1/collections')).toMatchObject({ status: 501, code: 'not_bound' })
    const socket = await Socket.open(address)
    socket.send({ id: 1, type: 'publish', topic: 'orders', events: [{}] })
    expect(await socket.reply(1)).toMatchObject({ type: 'error', code: 'not_bound', retry: false })
    socket.close()
    expect(existsSync(join(folder.path, 'data'))).toBe(false)
  })
})

test('a gateway without Redis does not start', async () => {
  await using folder = await tempFolder()
  const refusal = { code: 'not_bound', hint: expect.stringContaining('"redis" in millrace.yaml') }
  await expect(start('gateway', folder.path)).rejects.toMatchObject(refusal)
  expect(existsSync(join(folder.path, 'data'))).toBe(false)
})

test('a gateway whose audit trail has no place does not start, unless there is to be none', async () => {
  await using folder = await tempFolder()
  const env = { MILLRACE_REDIS_URL: 'redis://127.0.0.1:1', MILLRACE_SERVER_TOKEN: 'a-token-of-the-server' }
  const refusal = { code: 'not_bound', hint: expect.stringContaining('MILLRACE_SERVER_AUDIT') }
  await expect(start('gateway', folder.path, env)).rejects.toMatchObject(refusal)
  await start('gateway', folder.path, { ...env, MILLRACE_SERVER_AUDIT: 'false' })
})

test('a pipeline whose live events nobody could read fails and says why', async () => {
  await using folder = await tempFolder()
  const { address } = await start('processor', folder.path, {}, ticks)
  const status = () => call(`${address}/v1/pipelines/ticks`, pipelineStatus)
  await until(async () => (await status()).state === 'failed')
  expect((await status()).reason).toContain('role processor has no channels')
})

describe.skipIf(!(await canStart('redis')))('when Redis is away', () => {
  test('a gateway is ready once the channels have answered, and stays so', async () => {
    await using folder = await tempFolder()
    await using server = await startRedis()
    await server.kill()
    const gateway = await start('gateway', folder.path, { MILLRACE_REDIS_URL: server.url })
    const readiness = async () => {
      const response = await fetch(`${gateway.address}/readyz`)
      return { status: response.status, text: await response.text() }
    }
    await until(async () => (await readiness()).text.includes('Redis'))
    expect((await readiness()).status).toBe(503)
    expect(gateway.lines).toEqual([expect.stringContaining('not ready yet')])
    await server.restart()
    await gateway.ready
    await server.kill()
    expect((await readiness()).status).toBe(200)
  })
})

test('what each role does without is known before it starts', async () => {
  await using folder = await tempFolder()
  const missing = async (role: Role, env: Readonly<Record<string, string>> = {}) =>
    missingParts(await runtimeOf(role, folder.path, env))
  expect(await missing('all')).toEqual([])
  expect(await missing('embedder')).toEqual([])
  expect(await missing('processor')).toEqual(['channels'])
  expect(await missing('gateway')).toEqual(['channels', 'topics', 'tables', 'collections'])
  const servers = {
    KAFKA_BROKERS: 'kafka:9092',
    REDIS_URL: 'redis://redis:6379',
    CLICKHOUSE_URL: 'http://clickhouse:8123',
    MILLRACE_VECTORS_QDRANT_URL: 'http://qdrant:6333',
  }
  expect(await missing('gateway', servers)).toEqual([])
  expect(checkBinding('gateway', 'channels').level).toBe('fail')
  expect(checkBinding('gateway', 'tables')).toMatchObject({
    level: 'warn',
    hint: expect.stringContaining('clickhouse'),
  })
  expect(checkBinding('processor', 'channels').level).toBe('warn')
})

test.each(['gateway', 'embedder'])('the role %s is given no pipeline files', async (role) => {
  await using folder = await tempFolder()
  const [port = 0] = await freePorts(1)
  const answer = await callCli(['run', 'x.yaml', '--role', role, '--port', String(port)], folder.path)
  expect(answer).toMatchObject({ code: 2, stderr: expect.stringContaining(`the role ${role} runs no pipelines`) })
})
