import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import { catalog } from '../../src/cli/catalog.ts'
import { parsePipeline } from '../../src/config/pipeline.ts'
import { createExpressions } from '../../src/expressions/index.ts'
import { createSerde } from '../../src/serde/index.ts'

const serde = createSerde({ folder: resolve(import.meta.dirname, '../../schemas') })
const expressions = createExpressions()

const head = 'name: a\nsource: { topic: support.tickets }\n'
const embed = '  - embed: { text: value.subject, as: meaning }\n'
const live = 'sinks:\n  - live: x\n'

/** Problems of a pipeline of the components that are shipped, as `line:column message`. */
async function problemsOf(text: string): Promise<string[]> {
  const { problems } = await parsePipeline(text, { file: 'p.yaml', catalog, expressions, serde })
  return problems.map(({ line, column, message }) => `${line}:${column} ${message}`)
}

test.each<[what: string, text: string, expected: (string | RegExp)[]]>([
  [
    'an unknown field in an expression',
    `${head}processors:\n  - filter: size(value.bdy) > 0\n${live}`,
    [/^4:24 .*bdy.*did you mean "?body/],
  ],
  [
    'an expression of the wrong type',
    `${head}processors:\n  - filter: size(value.body)\n${live}`,
    ['4:13 this is a number, but true or false is needed here'],
  ],
  [
    'an unknown function',
    `${head}processors:\n  - map: { a: "frobnicate(value.body)" }\n${live}`,
    [/^4:1[67] .*frobnicate/],
  ],
  [
    'a column with a misspelt key',
    `${head}sinks:\n  - clickhouse:\n      table: t\n      columns: { at: { type: DateTime, form: timestamp } }\n`,
    ['6:40 clickhouse: unknown key "form", did you mean "from"?'],
  ],
  [
    'a column that no event has',
    `${head}sinks:\n  - clickhouse:\n      table: t\n      columns: { subjct: String }\n`,
    ['6:26 clickhouse: no event has a field "subjct" here, did you mean "subject"?'],
  ],
  [
    'a vector that was never made',
    `${head}sinks:\n  - vectors: { collection: t, vector: meaning }\n`,
    ['4:39 vectors: no event has a vector "meaning" here'],
  ],
  [
    'a vector of another name',
    `${head}processors:\n${embed}sinks:\n  - vectors: { collection: t, vector: meaning, fields: [subjekt] }\n  - live: { channel: x, vector: maening }\n`,
    [
      '6:57 vectors: no event has a field "subjekt" here, did you mean "subject"?',
      '7:33 live: no event has a vector "maening" here, did you mean "meaning"?',
    ],
  ],
  [
    'options that contradict each other',
    `${head}processors:\n  - classify: { labels: { a: b } }\n${live}`,
    ['4:5 classify: give either "vector" or "text"'],
  ],
  [
    'a misspelt option of which another could stand in its place',
    `${head}processors:\n${embed}  - novelty: { vectr: meaning }\n${live}`,
    ['5:16 novelty: unknown key "vectr", did you mean "vector"?'],
  ],
  [
    'a name that no collection can have',
    `${head}processors:\n${embed}  - similar: { collection: my tickets, vector: meaning }\nsinks:\n  - vectors: { collection: _, vector: meaning }\n`,
    [
      '5:28 similar: a name of up to 200 letters, digits, "_", "-" and ".", beginning with a letter or digit',
      '7:28 vectors: a name of up to 200 letters, digits, "_", "-" and ".", beginning with a letter or digit',
    ],
  ],
  [
    'a misspelt option that must be given',
    `name: a\nsource:\n  files: { paths: "*.md" }\n${live}`,
    ['3:12 files: unknown key "paths", did you mean "path"?'],
  ],
  [
    'the short form of a sink that needs more',
    `${head}sinks:\n  - vectors: tickets\n`,
    ['4:14 vectors: give either "vector" or "field"'],
  ],
])('%s', async (_what, text, expected) => {
  const problems = await problemsOf(text)
  expect(problems).toHaveLength(expected.length)
  for (const [index, wanted] of expected.entries()) {
    if (typeof wanted === 'string') expect(problems[index]).toBe(wanted)
    else expect(problems[index]).toMatch(wanted)
  }
})

test('every component is shown by an example that is valid', async () => {
  const indent = (text: string) => text.replaceAll('\n', '\n    ')
  const examples = [
    ...[...catalog.sources.values()].map(({ example }) => `name: a\nsource:\n    ${indent(example)}\n${live}`),
    ...[...catalog.processors.values()].map(
      ({ example }) => `${head}processors:\n${embed}  - ${indent(example)}\n${live}`,
    ),
    ...[...catalog.sinks.values()].map(({ example }) => `${head}processors:\n${embed}sinks:\n  - ${indent(example)}\n`),
  ]
  for (const text of examples) {
    // What an example's events look like is not known here: only its form is checked.
    const { problems } = await parsePipeline(text, { file: 'p.yaml', catalog, expressions })
    expect(problems, text).toEqual([])
  }
})
