import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { openApplication } from '../../src/cli/application.ts'
import { loadRuntime } from '../../src/config/runtime.ts'
import type { PipelineControl } from '../../src/core/pipeline.ts'
import { createLog } from '../../src/telemetry/index.ts'
import { codesIn, named, section, tableRows, textOf } from '../support/documents.ts'

const document = textOf('docs/api.md')

const description = z.object({
  paths: z.record(
    z.string(),
    z.record(z.string(), z.object({ parameters: z.array(z.object({ name: z.string(), in: z.string() })) })),
  ),
})

const none = async () => {
  throw new Error('no pipeline runs in these tests')
}
const noPipelines: PipelineControl = { list: none, get: none, put: none, remove: none, pause: none, resume: none }

async function openApi() {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-docs-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const runtime = await loadRuntime({ env: { MILLRACE_DATA: folder }, cwd: folder })
  const log = createLog({ write: () => undefined, format: 'text' })
  const { app, close } = await openApplication(runtime, noPipelines, log)
  onTestFinished(close)
  return description.parse(await (await app.request('http://localhost/openapi.json')).json())
}

test('every call is told with its parameters, and no other', async () => {
  const { paths } = await openApi()
  const told = tableRows(document)
    .flatMap(([calls = '']) => named(calls))
    .filter((name) => /^(GET|POST|PUT|DELETE) /.test(name))
  const there = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  )
  expect(there.length).toBeGreaterThan(20)
  expect(told.toSorted()).toEqual([...there, 'GET /openapi.json'].toSorted())
  for (const [path, methods] of Object.entries(paths)) {
    for (const { parameters } of Object.values(methods)) {
      for (const { name } of parameters.filter((parameter) => parameter.in !== 'path')) {
        expect(document, `${path} ${name}`).toMatch(new RegExp(`[\`?&]${name}[\`=]`))
      }
    }
  }
})

test('every code of an error that the API itself raises is told', async () => {
  const codes = await codesIn(['src/server/*.ts', '!src/server/{listen,openapi,tls}.ts'])
  codes.add('invalid_body')
  const told = new Set(tableRows(section(document, 'Errors')).flatMap(([, names = '']) => named(names)))
  for (const code of codes) expect(told).toContain(code)
})

test('every code of an error that is told for the API is raised somewhere', async () => {
  const raised = await codesIn(['src/**/*.ts', 'connectors/**/*.ts'])
  // Made from parts or passed on: invalid_${part}, and what is wrong with a token.
  for (const code of ['invalid_body', 'token_expired', 'token_untrusted']) raised.add(code)
  const told = tableRows(section(document, 'Errors')).flatMap(([, names = '']) => named(names))
  for (const code of told) if (/^[a-z_]+_[a-z_]+$/.test(code)) expect(raised).toContain(code)
})
