import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { openEmbeddedLog } from '../../connectors/embedded-log/index.ts'
import { customary, leaves, schemaAt, twinOf } from '../../src/config/environment.ts'
import { loadRuntime, topicConfig } from '../../src/config/runtime.ts'
import { runtimeSchema } from '../../src/config/runtime-schema.ts'
import { parseByteSize, parseDuration } from '../../src/core/units.ts'
import { defaultServerLimits } from '../../src/server/index.ts'
import { maxEvents } from '../../src/server/publish.ts'
import { codeBlocks, named, section, tableRows, textOf } from '../support/documents.ts'

const document = textOf('docs/runtime.md')
const rows = tableRows(document)
const settings = leaves(runtimeSchema).filter((path) => path.join('.') !== 'vectors.lancedb')

test.each(settings.map((path) => [path.join('.'), twinOf(path)]))('%s is told with its variable %s', (name, twin) => {
  const row = rows.find(([names = '']) => named(names).includes(name))
  expect(named(row?.[1] ?? '')).toContain(twin)
})

test('no setting or variable is told that does not exist', () => {
  const twins = new Set([...settings.map(twinOf), ...Object.keys(customary)])
  const variables =
    document.match(/\b(?:MILLRACE|KAFKA|CLICKHOUSE|MILVUS|PINECONE|REDIS|SCHEMA|HF)_[A-Z_]+[A-Z]/g) ?? []
  // A name of the reader's own, in the example file.
  for (const name of new Set(variables)) if (name !== 'CLICKHOUSE_PASSWORD') expect(twins).toContain(name)
  for (const name of Object.keys(customary)) expect(variables).toContain(name)
  const settingRows = ['Settings', 'Limits of live clients', 'Topics', 'Embedder', 'ClickHouse'].flatMap((title) =>
    tableRows(section(document, title)),
  )
  for (const [names = ''] of settingRows) {
    for (const name of named(names)) {
      if (!name.includes('<')) expect(schemaAt(runtimeSchema, name.split('.')), name).toBeDefined()
    }
  }
})

test('settings are told with their defaults', async () => {
  const runtime: unknown = await loadRuntime({ env: {}, cwd: '/nowhere' })
  const told = (name: string) => rows.find(([names = '']) => named(names).includes(name))?.[2]
  for (const name of ['server.host', 'server.port', 'query.maxRows', 'embedder.model', 'embedder.workers']) {
    expect(told(name), name).toBe(`\`${String(valueAt(runtime, name.split('.')))}\``)
  }
  expect(valueAt(runtime, ['query', 'timeout'])).toBe(30_000)
  expect(valueAt(runtime, ['query', 'maxMemory'])).toBe(1e9)
})

test('topics are told with the defaults that the log gives them', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-docs-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const log = await openEmbeddedLog(folder)
  await log.ensureTopic('t', topicConfig(await loadRuntime({ env: {}, cwd: folder }), 't'))
  const [topic] = await log.topics()
  await log.close()
  const told = (name: string) =>
    named(rows.find(([names = '']) => named(names).includes(`defaults.${name}`))?.[2] ?? '')[0] ?? ''
  expect(topic?.config).toEqual({
    partitions: Number(told('partitions')),
    retentionMs: parseDuration(told('retention')),
    retentionBytes: parseByteSize(told('retentionBytes')),
    compact: told('compact') === 'true',
  })
})

test('the limits of the server are told', () => {
  const { bodyBytes, inFlightBytes } = defaultServerLimits
  const told = tableRows(section(document, 'Limits'))
  const limitOf = (what: RegExp) => told.find(([name = '']) => what.test(name))?.[1]
  expect(limitOf(/^body of a request/)).toContain(`${bodyBytes / 1e6} MB`)
  expect(limitOf(/^bodies of all/)).toContain(`${inFlightBytes / 1e6} MB`)
  expect(limitOf(/^events of a request/)).toContain(maxEvents.toLocaleString('en'))
})

test('the example is a file that can be read', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-docs-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const [example] = codeBlocks(document).filter(({ language }) => language === 'yaml')
  await writeFile(join(folder, 'millrace.yaml'), example?.text ?? '')
  const runtime = await loadRuntime({ env: { API_TOKEN: '0123456789abcdef' }, cwd: folder })
  expect(runtime).toMatchObject({ data: '/var/lib/millrace', server: { port: 9000, token: '0123456789abcdef' } })
})

function valueAt(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((at, key) => Object(at)[key], value)
}
