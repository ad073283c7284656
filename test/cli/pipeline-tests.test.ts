import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { PipelineTestRunner } from '../../src/cli/pipeline-tests.ts'
import { lintProject, openProject } from '../../src/cli/project.ts'
import { openTestRunner } from '../../src/cli/test-services.ts'
import type { PipelineSpec } from '../../src/core/pipeline.ts'
import { tempFolder } from '../support/cli.ts'
import { recordingTerminal } from '../support/terminal.ts'

const pipelines = {
  orders: `
name: orders
source: { topic: orders, start: latest }
id: key
processors:
  - filter: value.total >= 0
  - map: { customer: value.customer, total: value.total }
sinks:
  - clickhouse: { table: orders, mode: upsert, columns: { customer: String, total: Float64 } }
  - live: { channel: orders }
  - topic: orders.clean
  - console: {}
tests:
  - name: all outputs
    given:
      - { key: o1, value: { customer: ann, total: 10, note: x } }
      - { key: o2, value: { customer: bob, total: -1 } }
      - { key: o1, value: { customer: ann, total: 12 } }
    expect:
      live.orders:
        - { key: o1, value: { customer: ann, total: 10 } }
        - { key: o1, value: { total: 12 } }
      topic.orders.clean: [{ key: o1, value: { total: 10 } }, { key: o1 }]
      clickhouse.orders: [{ customer: ann, total: 12 }]
  - name: rows of another test are not seen, and a tombstone deletes
    given:
      - { key: o1, value: { customer: cid, total: 1 } }
      - { key: o2, value: { customer: dan, total: 2 } }
      - { key: o1, value: null }
    expect:
      clickhouse.orders: [{ customer: dan }]
      live.orders: [{ key: o1 }, { key: o2 }, { key: o1, value: null }]
  - name: an expression that fails makes a dead letter
    given: [{ key: o1, value: { customer: ann } }]
    expect:
      dlq: [{ key: o1, value: { customer: ann }, component: filter, code: expression_failed }]
      live.orders: []
  - name: nothing comes of nothing
    given: []
    expect: { live.orders: [], topic.orders.clean: [], dlq: [] }
  - name: fails at three places
    given: [{ key: o1, value: { customer: ann, total: 10 } }]
    expect:
      live.orders: [{ key: o1, value: { total: 11 } }, { key: o2 }]
      topic.orders.clean: []
  - name: an output that keeps nothing
    given: []
    expect: { console: [] }
`,
  meaning: `
name: meaning
source: { generate: { rate: 1, value: { text: hello } } }
processors:
  - embed: { text: value.text, as: meaning }
sinks:
  - vectors: { collection: texts, vector: meaning, fields: [text] }
tests:
  - name: given events come in place of the generated ones
    given: [{ value: { text: good morning } }, { value: { text: good night } }]
    expect:
      vectors.texts: [{ fields: { text: good night } }, { fields: { text: good morning } }]
`,
}

let runner: PipelineTestRunner
let specs: readonly PipelineSpec[]
const folder = await tempFolder()
const temporary = join(folder.path, 'tmp')

beforeAll(async () => {
  const cli = {
    terminal: recordingTerminal(),
    environment: {},
    folder: folder.path,
    interruption: () => {
      throw new Error('not interrupted in these tests')
    },
  }
  await mkdir(join(folder.path, 'pipelines'))
  await mkdir(temporary)
  vi.stubEnv('TMPDIR', temporary)
  for (const [name, text] of Object.entries(pipelines)) {
    await writeFile(join(folder.path, 'pipelines', `${name}.yaml`), text)
  }
  const project = await openProject(cli, {}, [])
  const result = await lintProject(project)
  expect(result.problems).toEqual([])
  specs = result.specs
  runner = await openTestRunner(project)
})

afterAll(async () => {
  vi.unstubAllEnvs()
  await folder[Symbol.asyncDispose]()
})

async function differencesOf(pipeline: string, name: string) {
  const spec = specs.find((known) => known.name === pipeline)
  const found = spec?.tests.find((known) => known.name === name)
  if (spec === undefined || found === undefined) throw new Error(`there is no test "${name}"`)
  return (await runner.run(spec, found)).differences
}

test.each([
  'all outputs',
  'rows of another test are not seen, and a tombstone deletes',
  'an expression that fails makes a dead letter',
  'nothing comes of nothing',
])('%s', async (name) => {
  expect(await differencesOf('orders', name)).toEqual([])
})

test('embeddings are computed and vectors stored; an intake is replaced by what is given', async () => {
  expect(await differencesOf('meaning', 'given events come in place of the generated ones')).toEqual([])
})

test('every difference is told with its output and place', async () => {
  expect(await differencesOf('orders', 'fails at three places')).toEqual([
    { path: 'live.orders[0].value.total', message: 'expected 11, got 10' },
    { path: 'live.orders[1]', message: 'expected {"key":"o2"}, got nothing' },
    { path: 'topic.orders.clean[0]', message: expect.stringMatching(/^expected nothing more, got \{"key":"o1"/) },
  ])
})

test('an output that keeps nothing cannot be expected', async () => {
  expect(await differencesOf('orders', 'an output that keeps nothing')).toEqual([
    { path: '', message: 'a test cannot expect anything of "console": nothing is kept there' },
  ])
})

test('nothing is left behind', async () => {
  // Others, such as the engine of ClickHouse, have files of their own there.
  const ours = async () => (await readdir(temporary)).filter((name) => name.startsWith('millrace-'))
  expect(await ours()).toHaveLength(1)
  await runner.close()
  expect(await ours()).toEqual([])
})
