import { describe, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { z } from 'zod'
import { catalog } from '../../src/cli/catalog.ts'
import { optionReferences } from '../../src/cli/reference.ts'
import { schemaAt } from '../../src/config/environment.ts'
import { parsePipeline } from '../../src/config/pipeline.ts'
import { pipelineFrame, topicSource } from '../../src/config/pipeline-schema.ts'
import { scopeNames } from '../../src/expressions/environment.ts'
import { createExpressions } from '../../src/expressions/index.ts'
import { codeBlocks, named, section, tableRows, textOf } from '../support/documents.ts'

const document = textOf('docs/pipelines.md')

/** The first table of a section: what its rows are about, and the rows. */
function optionRows(text: string): Map<string, string> {
  const [table = ''] = text.match(/^\|.*(?:\n\|.*)*/m) ?? []
  return new Map(tableRows(table).flatMap(([name = '', ...rest]) => named(name).map((key) => [key, rest.join(' ')])))
}

describe.each([
  ['Sources', catalog.sources],
  ['Processors', catalog.processors],
  ['Sinks', catalog.sinks],
])('%s', (heading, definitions) => {
  const part = section(document, heading)

  test('are all there, and no others', () => {
    const headings = [...part.matchAll(/^### (.*)$/gm)].map(([, name]) => name)
    expect(headings.toSorted()).toEqual([...definitions.keys()].toSorted())
  })

  test.each([...definitions.values()])('$name is told with its options', ({ name, options, main }) => {
    const rows = optionRows(section(part, name))
    const references = optionReferences(options)
    expect([...rows.keys()]).toEqual(references.map((option) => option.name))
    for (const option of references) {
      const row = rows.get(option.name) ?? ''
      if (option.required) expect(row, option.name).toMatch(/^required/)
      if (option.name === main) expect(row, option.name).toMatch(/\bmain\b/)
      if (option.default !== undefined) expect(row, option.name).toContain(`\`${unquoted(option.default)}\``)
    }
  })
})

test('the keys of a file, of a block and of a topic are told with their defaults', () => {
  const file = optionRows(section(document, 'The file'))
  expect([...file.keys()]).toEqual(Object.keys(pipelineFrame.shape))
  const source = optionRows(section(document, 'Topics'))
  expect([...source.keys()]).toEqual(Object.keys(topicSource.shape))
  const block = schemaAt(pipelineFrame, ['block'])
  const rows = tableRows(section(document, 'The file'))
  for (const option of optionReferences(block ?? z.never())) {
    const row = rows.find(([name]) => name === `\`block.${option.name}\``)
    expect(row?.[1], option.name).toBe(`\`${unquoted(option.default ?? '')}\``)
  }
  const { shape } = z.object({ shape: z.record(z.string(), z.unknown()) }).parse(schemaAt(pipelineFrame, ['tests', 0]))
  for (const key of Object.keys(shape)) expect(named(section(document, 'The file'))).toContain(key)
})

test('what is in scope of expressions is told', () => {
  const [first = ''] = section(document, 'Expressions').split('\n- ')
  expect(new Set(tableRows(first).flatMap(([name = '']) => named(name)))).toEqual(new Set(scopeNames))
})

test('the functions of expressions are there', () => {
  const rows = tableRows(section(document, 'Expressions').split('\n- ').at(-1) ?? '')
  const calls: Readonly<Record<string, string>> = {
    size: 'size(value.t)',
    contains: 'value.t.contains("a")',
    startsWith: 'value.t.startsWith("a")',
    endsWith: 'value.t.endsWith("a")',
    matches: 'value.t.matches("a")',
    indexOf: 'value.t.indexOf("a")',
    lastIndexOf: 'value.t.lastIndexOf("a")',
    substring: 'value.t.substring(0, 1)',
    trim: 'value.t.trim()',
    split: 'value.t.split("a")',
    replace: 'value.t.replace("a", "b")',
    lower: 'value.t.lower()',
    upper: 'value.t.upper()',
    join: 'value.l.map(x, string(x)).join(",")',
    map: 'value.l.map(x, x)',
    filter: 'value.l.filter(x, x > 1)',
    all: 'value.l.all(x, x > 1)',
    exists: 'value.l.exists(x, x > 1)',
    exists_one: 'value.l.exists_one(x, x > 1)',
    sum: 'sum(value.l)',
    'x in list': '1 in value.l',
    'round(n)': 'round(value.n)',
    'round(n, digits)': 'round(value.n, 1)',
    floor: 'floor(value.n)',
    ceil: 'ceil(value.n)',
    abs: 'abs(value.n)',
    'min(a, b)': 'min(value.n, 1)',
    'max(a, b)': 'max(value.n, 1)',
    string: 'string(value.n)',
    int: 'int("1")',
    double: 'double("1")',
    bool: 'bool("true")',
    'parseJson(text)': 'parseJson("[1]")',
    'toJson(any)': 'toJson(value)',
    'isoTime(ms)': 'isoTime(timestamp)',
    'parseTime(text)': 'parseTime("2026-01-01")',
    'hash(text)': 'hash(value.t)',
    has: 'has(value.t)',
    'cel.bind(name, expression, result)': 'cel.bind(x, value.n, x * x)',
  }
  expect(new Set(rows.flatMap(([names = '']) => named(names)))).toEqual(new Set(Object.keys(calls)))
  const expressions = createExpressions()
  const scope = {
    value: { t: 'ab', l: [1, 2], n: 1.5 },
    key: null,
    headers: {},
    timestamp: 0,
    position: { topic: 't', partition: 0, offset: 0 },
  }
  for (const call of Object.values(calls)) expect(() => expressions.compile(call, 'any')(scope), call).not.toThrow()
})

const snippets = codeBlocks(document).filter(({ language, text }) => language === 'yaml' && !/^name:/m.test(text))

test.each(snippets)('show components that pass lint: $text', async ({ text }) => {
  const { problems } = await parsePipeline(asPipeline(parse(text)), {
    file: 'docs/pipelines.md',
    catalog,
    expressions: createExpressions(),
  })
  expect(problems).toEqual([])
})

/** A whole pipeline around what an example shows: a source, or a list of processors or sinks. */
function asPipeline(shown: unknown): string {
  const whole = { name: 'shown', source: { topic: 't' }, processors: [{ embed: { text: 'value.t', as: 'meaning' } }] }
  if (!Array.isArray(shown)) return stringify({ ...whole, ...Object(shown), sinks: ['console'] })
  const areSinks = shown.every((item) =>
    catalog.sinks.has(typeof item === 'string' ? item : (Object.keys(item)[0] ?? '')),
  )
  const sinks = areSinks ? shown : ['console']
  return stringify({ ...whole, processors: [...whole.processors, ...(areSinks ? [] : shown)], sinks })
}

/** A default as YAML has it: texts without their quotes. */
function unquoted(json: string): string {
  return json.replace(/^"(.*)"$/, '$1')
}
