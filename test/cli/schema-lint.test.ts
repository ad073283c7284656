import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { catalog } from '../../src/cli/catalog.ts'
import { lintSchemas } from '../../src/cli/schema-lint.ts'
import { parsePipeline } from '../../src/config/pipeline.ts'
import type { PipelineSpec } from '../../src/core/pipeline.ts'
import { createExpressions } from '../../src/expressions/index.ts'
import { createSerde } from '../../src/serde/index.ts'
import { type FakeAnswer, startFakeRegistry } from '../serde/fake-registry.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-schema-lint-'))
  for (const topic of ['read', 'written', 'idle']) {
    await writeFile(join(folder, `${topic}.avsc`), JSON.stringify({ type: 'record', name: 'A', fields: [] }))
  }
})
afterAll(() => rm(folder, { recursive: true }))

async function spec(): Promise<PipelineSpec> {
  const text = 'name: x\nsource: { topic: [read, "any.*", plain] }\nsinks:\n  - topic: written\n'
  const { spec: parsed } = await parsePipeline(text, { file: 'x.yaml', catalog, expressions: createExpressions() })
  if (parsed === undefined) throw new Error('the pipeline of this test is wrong')
  return parsed
}

async function lintWith(answer: (path: string) => FakeAnswer | undefined) {
  const registry = await startFakeRegistry(answer)
  try {
    const serde = createSerde({ folder, registry: { url: registry.url } })
    const problems = await lintSchemas([await spec()], serde, folder)
    return { problems, requests: registry.requests }
  } finally {
    await registry.close()
  }
}

test('the schema files of topics that are read and written are compared with the latest versions', async () => {
  const { problems, requests } = await lintWith((path) => {
    if (path.includes('/read-value/')) return { body: { is_compatible: true } }
    return path.includes('/written-value/')
      ? { body: { is_compatible: false, messages: ['the field "id" is gone', 'and another thing'] } }
      : undefined
  })
  expect(requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
    'POST /compatibility/subjects/read-value/versions/latest?verbose=true',
    'POST /compatibility/subjects/written-value/versions/latest?verbose=true',
  ])
  expect(problems).toMatchObject([
    {
      file: 'written.avsc',
      line: 1,
      severity: 'error',
      code: 'incompatible_schema',
      message: expect.stringContaining('the field "id" is gone'),
    },
    { file: 'written.avsc', message: expect.stringContaining('and another thing') },
  ])
})

test('a topic that the registry does not know yet is no problem', async () => {
  const { problems } = await lintWith(() => undefined)
  expect(problems).toEqual([])
})

test('a schema that the registry cannot even read is one', async () => {
  const { problems } = await lintWith((path) =>
    path.startsWith('/compatibility')
      ? { status: 422, body: { error_code: 42201, message: 'Invalid schema' } }
      : undefined,
  )
  expect(problems).toMatchObject([
    { severity: 'error', message: expect.stringContaining('Invalid schema') },
    { severity: 'error' },
  ])
})

test('a registry that cannot be asked is one warning, and no error', async () => {
  const { problems } = await lintWith(() => ({ status: 500 }))
  expect(problems).toMatchObject([
    { severity: 'warning', code: 'registry_unreachable', file: 'millrace.yaml', line: 0 },
  ])
})
