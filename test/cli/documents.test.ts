import type { Command } from 'commander'
import { expect, test } from 'vitest'
import { catalog } from '../../src/cli/catalog.ts'
import { createProgram } from '../../src/cli/program.ts'
import { parsePipeline } from '../../src/config/pipeline.ts'
import { createExpressions } from '../../src/expressions/index.ts'
import { descendants, pathOf } from '../support/commands.ts'
import { codeBlocks, documents, textOf } from '../support/documents.ts'
import { recordingTerminal } from '../support/terminal.ts'

const program = createProgram({
  terminal: recordingTerminal(),
  environment: {},
  folder: '/nowhere',
  interruption: () => {
    throw new Error('not interrupted in these tests')
  },
})

const files = await documents()
const blocks = files.flatMap((file) => codeBlocks(textOf(file)).map(({ text }) => ({ file, text })))
const calls = blocks.flatMap(({ text }) =>
  text.split('\n').flatMap((line) => /(?:^|[\s|])(?:npx |\.\/)?millrace ([a-z].*)$/.exec(line)?.[1] ?? []),
)
const pipelines = blocks.filter(({ text }) => /^name: /m.test(text) && /^sinks:/m.test(text))

test.each(calls)('call what there is: millrace %s', (call) => {
  const words = call.replaceAll(/'[^']*'|"[^"]*"/g, 'TEXT').split(/\s+/)
  let command: Command = program
  for (const word of words) command = command.commands.find((child) => child.name() === word) ?? command
  expect(command).not.toBe(program)
  const known = [...command.options, ...program.options].flatMap(({ long, short }) => [long, short])
  for (const word of words) if (/^--?[a-z]/.test(word)) expect(known).toContain(word.replace(/=.*$/, ''))
})

test.each(pipelines)('show a pipeline that passes lint: $file', async ({ file, text }) => {
  const { problems } = await parsePipeline(text, { file, catalog, expressions: createExpressions() })
  expect(problems).toEqual([])
})

test('docs/cli.md names every command and every option', () => {
  const text = textOf('docs/cli.md')
  expect(calls.length).toBeGreaterThan(20)
  for (const command of descendants(program)) {
    expect(text, pathOf(command)).toContain(command.name())
    for (const { long } of command.options) expect(text, pathOf(command)).toContain(long)
  }
})
