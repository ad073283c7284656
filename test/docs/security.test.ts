import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { glob } from 'tinyglobby'
import { expect, onTestFinished, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { openApplication } from '../../src/cli/application.ts'
import { packageRoot } from '../../src/cli/package.ts'
import { schemaAt } from '../../src/config/environment.ts'
import { check } from '../../src/config/issues.ts'
import { loadRuntime } from '../../src/config/runtime.ts'
import { runtimeSchema } from '../../src/config/runtime-schema.ts'
import { serverFindings } from '../../src/config/server-settings.ts'
import type { PipelineControl } from '../../src/core/pipeline.ts'
import { silentLog } from '../../src/telemetry/index.ts'
import { codeBlocks, named, section, tableRows, textOf } from '../support/documents.ts'

const document = textOf('docs/security.md')
const none = async () => {
  throw new Error('no pipeline runs in these tests')
}
const noPipelines: PipelineControl = { list: none, get: none, put: none, remove: none, pause: none, resume: none }
const description = z.object({
  paths: z.record(z.string(), z.record(z.string(), z.object({ 'x-permission': z.string() }))),
})

test('every route is told with its permission', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-docs-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const runtime = await loadRuntime({ env: { MILLRACE_DATA: folder }, cwd: folder })
  const { app, close } = await openApplication(runtime, noPipelines, silentLog)
  onTestFinished(close)
  const { paths } = description.parse(await (await app.request('http://localhost/openapi.json')).json())
  const there = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(
      ([method, operation]) => `${method.toUpperCase()} ${path}: ${operation['x-permission']}`,
    ),
  )
  const rows = tableRows(section(document, 'What each route needs'))
  const told = rows.flatMap(([routes = '', permission = '']) =>
    named(routes).map((route) => `${route}: ${named(permission)[0]}`),
  )
  expect(told.toSorted()).toEqual([...there, 'GET /openapi.json: caller'].toSorted())
})

test('every option of a rule is told, and no other', () => {
  const rule = schemaAt(runtimeSchema, ['server', 'access', 0])
  const { shape } = z.object({ shape: z.record(z.string(), z.unknown()) }).parse(rule)
  const told = tableRows(section(document, 'Rules')).flatMap(([name = '']) => named(name))
  expect(told).toEqual(Object.keys(shape))
})

test('every code by which someone is refused is told', async () => {
  const files = await glob(['src/access/*.ts', 'src/server/{guard,origins,permission,tls}.ts'], { cwd: packageRoot() })
  const codes = files.flatMap((file) => [
    ...[...textOf(file).matchAll(/\bcode: '([a-z_]+)'/g)].map(([, code]) => code),
    ...[...textOf(file).matchAll(/refused\(\s*'([a-z_]+)'/g)].map(([, code]) => code),
  ])
  expect(codes.length).toBeGreaterThan(10)
  const told = new Set(named(section(document, 'Error codes')))
  for (const code of codes) expect(told).toContain(code)
})

test('the examples are settings', () => {
  const examples = codeBlocks(document)
    .filter(({ language }) => language === 'yaml')
    .map(({ text }) => check(runtimeSchema, parse(text)))
  expect(examples.length).toBeGreaterThan(3)
  for (const { data, issues } of examples) {
    expect(issues).toBeUndefined()
    if (data?.server.jwt || data?.server.tls?.clients) expect(serverFindings(data.server)).toEqual([])
  }
})
