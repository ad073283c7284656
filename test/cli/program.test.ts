import { describe, expect, test } from 'vitest'
import { createProgram } from '../../src/cli/program.ts'
import { callCli } from '../support/call-cli.ts'
import { descendants, pathOf } from '../support/commands.ts'
import { recordingTerminal } from '../support/terminal.ts'

const program = createProgram({
  terminal: recordingTerminal(),
  environment: {},
  folder: '/nowhere',
  interruption: () => {
    throw new Error('not interrupted in these tests')
  },
})

const commands = descendants(program)

test('has the commands that are documented', () => {
  const documented = 'run lint test publish tap search query topics pipelines dlq migrate list init doctor schema'
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
