import { setTimeout as delay } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { launch, runCli } from '../../support/cli.ts'
import { expectNoTrace, project } from './support.ts'

const orders = JSON.stringify({
  type: 'object',
  properties: { customer: { type: 'string' }, total: { type: 'number' } },
  additionalProperties: false,
})

/** Each with one mistake, and what is said of it: place and message, and what to do where that is not the same. */
const mistakes: Readonly<Record<string, { readonly text: string; readonly said: readonly string[] }>> = {
  'misspelt-key': {
    text: 'name: a\nsource: { topic: orders }\nprocesors: []\nsinks:\n  - live: x\n',
    said: [':3:1', 'unknown key "procesors", did you mean "processors"?'],
  },
  'misspelt-option': {
    text: 'name: b\nsource: { topic: orders }\nsinks:\n  - live: { chanel: x }\n',
    said: [':4:13', 'unknown key "chanel", did you mean "channel"?'],
  },
  'wrong-type': {
    text: 'name: c\nsource: { topic: orders }\nsinks:\n  - live: { channel: 7 }\n',
    said: [':4:22', 'expected text, got 7'],
  },
  'wrong-value': {
    text: 'name: d\nsource: { topic: orders, start: lastest }\nsinks:\n  - live: x\n',
    said: [':2:33', 'expected "earliest" or "latest", got "lastest", did you mean "latest"?'],
  },
  'unknown-component': {
    text: 'name: e\nsource: { topic: orders }\nsinks:\n  - clikhouse: x\n',
    said: [':4:5', 'unknown sink "clikhouse", did you mean "clickhouse"?'],
  },
  'tab-indentation': {
    text: 'name: f\nsource: { topic: orders }\nsinks:\n\t- live: x\n',
    said: [':4:1', 'a tab is used to indent; YAML is indented with spaces'],
  },
  'duplicate-key': {
    text: 'name: g\nsource: { topic: orders }\nsource: { topic: other }\nsinks:\n  - live: x\n',
    said: [':3:1', 'this key is given twice; keep one of them'],
  },
  'open-bracket': {
    text: 'name: h\nsource: { topic: orders\nsinks:\n  - live: x\n',
    said: [':3:1', 'something before this place is not closed with "}"'],
  },
  'no-expression': {
    text: 'name: i\nsource: { topic: orders }\nprocessors:\n  - filter: value.total >\nsinks:\n  - live: x\n',
    said: [':4:25', 'the expression ends too early'],
  },
  'ill-typed-expression': {
    text: 'name: j\nsource: { topic: orders }\nprocessors:\n  - filter: 1 + true\nsinks:\n  - live: x\n',
    said: [':4:13', 'there is no operation number + bool'],
  },
  'no-condition': {
    text: 'name: k\nsource: { topic: orders }\nprocessors:\n  - filter: size(value.customer)\nsinks:\n  - live: x\n',
    said: [':4:13', 'this is a number, but true or false is needed here'],
  },
  'unknown-name': {
    text: 'name: l\nsource: { topic: orders }\nprocessors:\n  - filter: valu.total > 1\nsinks:\n  - live: x\n',
    said: [':4:13', 'unknown name "valu", did you mean "value"?'],
  },
  'unknown-function': {
    text: 'name: m\nsource: { topic: orders }\nprocessors:\n  - filter: sice(value.customer) > 1\nsinks:\n  - live: x\n',
    said: [':4:13', 'unknown function "sice", did you mean "size"?'],
  },
  'unknown-field-of-a-schema': {
    text: 'name: n\nsource: { topic: orders }\nprocessors:\n  - filter: value.totl > 1\nsinks:\n  - live: x\n',
    said: [':4:19', 'no field "totl" in value, did you mean "total"?'],
  },
  'unknown-field-after-map': {
    text: `name: o
source: { topic: free }
processors:
  - embed: { text: value.subject, as: meaning }
  - map: { subject: value.subject }
sinks:
  - vectors: { collection: o, vector: meaning, fields: [subjct] }
`,
    said: [':7:57', 'has a field "subjct" here, did you mean "subject"?', 'fields at this point: subject'],
  },
  'unknown-vector': {
    text: `name: p
source: { topic: free }
processors:
  - embed: { text: value.subject, as: meaning }
sinks:
  - vectors: { collection: p, vector: meening }
`,
    said: [':6:39', 'has a vector "meening" here, did you mean "meaning"?'],
  },
  'impossible-column-type': {
    text: 'name: q\nsource: { topic: free }\nsinks:\n  - clickhouse: { table: q, columns: { n: "Strin(3" } }\n',
    said: [':4:43', '"Strin(3" is no ClickHouse type'],
  },
  empty: { text: '', said: [':1:1', 'the file is empty; it should hold a pipeline'] },
  'a-list': { text: '- live: x\n', said: [':1:1', 'a pipeline file is a mapping with the keys name, source'] },
}

const files = Object.fromEntries(Object.entries(mistakes).map(([name, { text }]) => [`pipelines/${name}.yaml`, text]))

test('each mistake in a pipeline file is told once, with its place and the nearest name', async () => {
  await using folder = await project({ ...files, 'schemas/orders.schema.json': orders })
  const { code, stdout, stderr } = await runCli(['lint'], { cwd: folder.path })
  expect(code).toBe(1)
  expectNoTrace(stderr)
  const reports = stderr.split(/\n(?=error\[)/)
  for (const [name, { said }] of Object.entries(mistakes)) {
    const about = reports.filter((report) => report.includes(`pipelines/${name}.yaml:`))
    expect(about, name).toHaveLength(1)
    for (const part of said) expect(about[0], name).toContain(part)
  }
  expect(stdout).toContain(`${Object.keys(mistakes).length} pipelines checked, 0 good`)
})

test('nothing is started when a file has an error', async () => {
  const text = 'name: a\nsource: { topic: orders }\nprocesors: []\nsinks:\n  - live: x\n'
  const good = 'name: good\nsource: { topic: orders }\nsinks:\n  - live: x\n'
  await using folder = await project({ 'pipelines/a.yaml': text, 'pipelines/b.yaml': good })
  const { code, stdout, stderr } = await runCli(['run'], { cwd: folder.path })
  expect(code).toBe(1)
  expect(stdout).toBe('')
  expect(stderr).toContain('pipelines/a.yaml:3:1')
  expect(stderr).toContain('did you mean "processors"?')
  expect(stderr.match(/error/g)?.length).toBeLessThanOrEqual(3)
  expectNoTrace(stderr)
})

const unsetVariable = `data: $\{NOT_SET}\n`

test.each([
  ['a misspelt key', 'server: { prot: 1 }\n', 'millrace.yaml:1:11', 'did you mean "port"?'],
  ['a wrong type', 'embedder:\n  workers: many\n', 'millrace.yaml:2:12', 'many'],
  ['an unset variable', unsetVariable, 'millrace.yaml:1:7', 'NOT_SET'],
  ['a model that is not there', 'embedder: { model: no-such }\n', 'no-such', 'model'],
])('%s in millrace.yaml', async (_what, text, ...said) => {
  await using folder = await project({ 'millrace.yaml': text })
  const [first = ''] = said
  const command = first === 'no-such' ? ['doctor'] : ['run']
  await expectMessage(command, folder.path, 1, said)
})

test.each([
  [['run', 'nope.yaml'], 1, ['nope.yaml', 'is not there']],
  [['lint', 'pipelines'], 1, ['pipelines is a folder', 'pipelines/*.yaml']],
  [['run', '--port', 'http'], 2, ['--port', "'http'", 'whole number']],
  [['run', '--port', '99999'], 2, ['--port', 'from 0 to 65535']],
  [['run', '--data', ''], 2, ['--data names no folder', 'not set']],
  [['rum'], 2, ["unknown command 'rum'", 'Did you mean run?']],
  [['run', '--prot', '1'], 2, ["unknown option '--prot'", 'Did you mean --port?']],
  [['publish'], 2, ["missing required argument 'topic'"]],
  [['publish', 'orders', '{total: 1}'], 1, ['event 1 is not JSON', 'single quotes']],
  [['publish', 'ordrs', '{}'], 1, ['"ordrs"', 'did you mean "orders"?']],
  [['search', 'texts', 'x', '--k', 'x'], 2, ['--k']],
  [['query', 'SELEC 1'], 1, ['SELEC', 'SELECT']],
  [['query', 'SELECT x FROM nothing'], 1, ['nothing']],
  [['tap', 'nothing', '--server', 'http://127.0.0.1:1'], 1, ['http://127.0.0.1:1 cannot be reached', 'millrace run']],
  [['topics', 'creat', 'x'], 2, ['unknown command "creat"', 'did you mean "create"?']],
  [['topics', '--data', 'millrace.yaml'], 1, ['millrace.yaml', 'a file stands in its way', '--data']],
  [['pipelines', 'pause', 'x'], 1, ['no Millrace runs on this data folder', 'millrace run']],
  [['dlq', 'show', 'x'], 1, ['x.dlq']],
  [['list', 'clikhouse'], 1, ['clikhouse', 'did you mean "clickhouse"?']],
  [['init', 'orders'], 1, ['orders']],
])('millrace %j', async (args, expected, said) => {
  await using folder = await project({
    'millrace.yaml': 'server: { port: 0 }\n',
    'pipelines/orders.yaml': 'name: orders\nsource: { topic: orders }\nsinks:\n  - live: x\n',
  })
  if (args[1] === 'ordrs') await runCli(['topics', 'create', 'orders'], { cwd: folder.path })
  await expectMessage(args, folder.path, expected, said)
})

async function expectMessage(args: readonly string[], cwd: string, code: number, said: readonly string[]) {
  await using command = launch(args, { cwd })
  await command.prints(/\S/).catch(() => {})
  const exit = await Promise.race([command.exited, delay(20_000)])
  const text = command.stdout() + command.stderr()
  expect(exit?.code, text).toBe(code)
  for (const part of said) expect(text).toContain(part)
  expectNoTrace(text)
}
