import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { describe, expect, test } from 'vitest'
import { packageRoot } from '../../src/cli/package.ts'
import { createProgram } from '../../src/cli/program.ts'
import { callCli } from '../support/call-cli.ts'
import { recordingTerminal } from '../support/terminal.ts'

const program = createProgram({
  terminal: recordingTerminal(),
  environment: {},
  folder: '/nowhere',
  interruption: () => {
    throw new Error('not interrupted in these tests')
  },
})

function descendants(command: Command): Command[] {
  return command.commands.flatMap((child) => [child, ...descendants(child)])
}

function pathOf(command: Command): string {
  return command.parent === null ? '' : `${pathOf(command.parent)} ${command.name()}`.trim()
}

const commands = descendants(program)

test('has the commands that are documented', () => {
  const documented = 'run lint test publish tap search query topics pipelines dlq list init doctor schema'
  expect(program.commands.map((command) => command.name())).toEqual(documented.split(' '))
})

describe('help', () => {
  test.each(['', ...commands.map(pathOf)])('of "%s" has an example that calls it', async (path) => {
    const { code, stdout } = await callCli([...path.split(' ').filter((word) => word !== ''), '--help'], '/nowhere')
    expect(code).toBe(0)
    // The default subcommand is called by the name of its group.
    expect(stdout).toMatch(new RegExp(`\\$ .*millrace ${path.replace(/ list$/, '')}`))
  })

  test('describes every command, option and argument', () => {
    for (const command of commands) {
      expect(command.description(), pathOf(command)).not.toBe('')
      for (const { flags, description } of command.options) expect(description, flags).not.toBe('')
      for (const argument of command.registeredArguments) expect(argument.description, argument.name()).not.toBe('')
    }
  })
})

describe('wrong usage', () => {
  test.each([
    [['lnt'], "unknown command 'lnt'\n(Did you mean lint?)"],
    [['search', 'tickets', 'x', '--min-scor', '1'], "unknown option '--min-scor'\n(Did you mean --min-score?)"],
    [['search', 'tickets'], "missing required argument 'text'"],
    [['search', 'tickets', 'x', '-k', '0'], 'Give a whole number, 1 or more.'],
    [['search', 'tickets', 'x', '-k', '1.5'], 'Give a whole number, 1 or more.'],
    [['search', 'tickets', 'x', '--min-score', '2'], 'Give a number from -1 to 1.'],
    [['search', 'tickets', 'x', '--filter', 'category'], 'Write field=value or a filter as JSON.'],
    [['search', 'tickets', 'x', '--filter', '{"a":'], 'Not valid JSON.'],
    [['search', 'tickets', 'x', '--filter', '{"a":{"$like":"x"}}'], 'Not a filter'],
    [['publish', 'tickets', '{}', '--key', 'customer'], 'Write a JSON pointer'],
    [['publish', 'tickets', '{}', '--file', 'x'], 'not both'],
    [['query', 'SELECT 1', '--param', 'x'], 'Write name=value.'],
    [['query', 'SELECT 1', '--csv', '--json'], "option '--csv' cannot be used with option '--json'"],
    [['query', 'SELECT', '1'], 'too many arguments'],
    [['run', '--port', 'http'], 'Give a whole number'],
    [['init', 'My Pipeline'], 'Use lower-case letters'],
    [['topics', 'creat', 'x'], 'unknown command "creat", did you mean "create"?'],
    [['pipelines', 'stop', 'x'], 'unknown command "stop"'],
    [['dlq', 'shw', 'x'], 'unknown command "shw", did you mean "show"?'],
  ])('%j ends with 2', async (args, message) => {
    const { code, stderr } = await callCli(args, '/nowhere')
    expect(stderr).toContain(message)
    expect(code).toBe(2)
  })
})

describe('the documents', () => {
  const documents = ['README.md', 'docs/cli.md'].filter((file) => existsSync(join(packageRoot(), file)))
  const calls = documents.flatMap((file) => {
    const blocks = [...readFileSync(join(packageRoot(), file), 'utf8').matchAll(/^```[a-z]*\n(.*?)^```/gms)]
    const lines = blocks.flatMap(([, block = '']) => block.split('\n'))
    return lines.flatMap((line) => /(?:^|[\s|])(?:npx )?millrace ([a-z].*)$/.exec(line)?.[1] ?? [])
  })

  test.each(calls)('call what there is: millrace %s', (call) => {
    const words = call.replaceAll(/'[^']*'|"[^"]*"/g, 'TEXT').split(/\s+/)
    let command: Command = program
    for (const word of words) command = command.commands.find((child) => child.name() === word) ?? command
    expect(command).not.toBe(program)
    const known = [...command.options, ...program.options].flatMap(({ long, short }) => [long, short])
    for (const word of words) if (/^--?[a-z]/.test(word)) expect(known).toContain(word.replace(/=.*$/, ''))
  })

  test('docs/cli.md names every command and every option', () => {
    const text = readFileSync(join(packageRoot(), 'docs/cli.md'), 'utf8')
    expect(calls.length).toBeGreaterThan(20)
    for (const command of commands) {
      if (command.commands.length === 0) expect(text).toContain(command.name())
      for (const { long } of command.options) expect(text, pathOf(command)).toContain(long)
    }
  })
})
