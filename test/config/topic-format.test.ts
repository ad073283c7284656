import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parsePipeline } from '../../src/config/pipeline.ts'
import { createSerde } from '../../src/serde/index.ts'
import { startFakeRegistry } from '../serde/fake-registry.ts'
import { catalog, expressions } from './fixture.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-format-'))
  const fields = [{ name: 'subject', type: 'string' }]
  await writeFile(join(folder, 'a.avsc'), JSON.stringify({ type: 'record', name: 'A', fields }))
  await writeFile(join(folder, 'p.proto'), 'syntax = "proto3"; message P { string subject = 1; }')
})
afterAll(() => rm(folder, { recursive: true }))

function pipeline(source: string, filter = 'value.subject'): string {
  return `name: x\nsource: ${source}\nprocessors:\n  - filter: ${filter}\nsinks:\n  - live: x\n`
}

async function problems(text: string, registry?: string) {
  const serde = createSerde({ folder, registry: registry === undefined ? undefined : { url: registry } })
  const parsed = await parsePipeline(text, { file: 'x.yaml', catalog, expressions, serde })
  return parsed.problems.map(({ line, column, code, message }) => ({ line, column, code, message }))
}

test.each([
  '{ topic: a, format: avro }',
  '{ topic: a }',
  '{ topic: p, format: protobuf }',
  '{ topic: j, format: json }',
  '{ topic: j* }',
])('nothing is wrong with %s', async (source) => {
  expect(await problems(pipeline(source))).toEqual([])
})

test.each([
  ['{ topic: a, format: protobuf }', 'the schema of the topic "a" is avro, not protobuf'],
  ['{ topic: [a, p], format: avro }', 'the schema of the topic "p" is protobuf, not avro'],
  ['{ topic: j, format: avro }', 'the values of the topic "j" cannot be read as avro without a schema'],
])('a format that cannot be is shown where it stands: %s', async (source, message) => {
  const column = pipeline(source).split('\n')[1]?.lastIndexOf(' p') ?? 0
  const [problem] = await problems(pipeline(source))
  expect(problem).toMatchObject({ line: 2, code: 'format_mismatch', message })
  expect(problem?.column).toBeGreaterThan(column)
})

test.each(['a', 'p'])('the fields of the schema of %s are checked in expressions', async (topic) => {
  const found = await problems(pipeline(`{ topic: ${topic} }`, 'value.subjct'))
  expect(found).toMatchObject([{ line: 4, message: 'no field "subjct"' }])
})

test('where a registry is bound, a topic without a schema of its own can hold any format', async () => {
  const registry = await startFakeRegistry(() => undefined)
  try {
    expect(await problems(pipeline('{ topic: j, format: avro }'), registry.url)).toEqual([])
  } finally {
    await registry.close()
  }
})

test('the fields of a schema that only the registry has are checked as well', async () => {
  const schema = JSON.stringify({ type: 'record', name: 'J', fields: [{ name: 'other', type: 'string' }] })
  const registry = await startFakeRegistry((path) =>
    path.startsWith('/subjects/j-value/') ? { body: { id: 1, version: 1, schema } } : undefined,
  )
  try {
    expect(await problems(pipeline('{ topic: j }'), registry.url)).toMatchObject([{ message: 'no field "subject"' }])
  } finally {
    await registry.close()
  }
})
