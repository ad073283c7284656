import type { Command } from 'commander'
import { describe, expect, test } from 'vitest'
import { createProgram } from '../../src/cli/program.ts'
import { recordingTerminal } from '../support/terminal.ts'

const never = () => {
  throw new Error('not interrupted in these tests')
}

function program(): { readonly program: Command; readonly out: string[]; readonly err: string[] } {
  const out: string[] = []
  const err: string[] = []
  const created = createProgram({
    terminal: recordingTerminal(),
    environment: {},
    folder: '/nowhere',
    interruption: never,
  })
  // Output settings are copied to a subcommand when it is made.
  for (const command of [created, ...descendants(created)]) {
    command.configureOutput({ writeOut: (text) => out.push(text), writeErr: (text) => err.push(text) })
  }
  return { program: created, out, err }
}

function descendants(command: Command): Command[] {
  return command.commands.flatMap((child) => [child, ...descendants(child)])
}

function pathOf(command: Command): string {
  return command.parent === null ? '' : `${pathOf(command.parent)} ${command.name()}`.trim()
}

const commands = descendants(program().program).map(pathOf)

test('has the commands that are documented', () => {
  const top = commands.filter((path) => !path.includes(' '))
  const documented = 'run lint test publish tap search query topics pipelines dlq list init doctor schema'
  expect(top).toEqual(documented.split(' '))
})

describe('help', () => {
  test.each(['', ...commands])(
    'of "%s" has an example that calls it, and a description of every option',
    async (path) => {
      const { program: created, out } = program()
      const words = path.split(' ').filter((word) => word !== '')
      await expect(created.parseAsync([...words, '--help'], { from: 'user' })).rejects.toMatchObject({ exitCode: 0 })
      const help = out.join('')
      // The default subcommand is called by the name of its group.
      expect(help).toMatch(new RegExp(`\\$ .*millrace ${path.replace(/ list$/, '')}`))
      const command = words.reduce<Command>(
        (parent, name) => parent.commands.find((c) => c.name() === name) ?? parent,
        created,
      )
      for (const option of command.options) expect(option.description, option.flags).not.toBe('')
      for (const argument of command.registeredArguments) expect(argument.description, argument.name()).not.toBe('')
    },
  )
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
    [['query', 'SELECT 1', '--param', 'x'], 'Write name=value.'],
    [['query', 'SELECT 1', '--csv', '--json'], "option '--csv' cannot be used with option '--json'"],
    [['run', '--port', 'http'], 'Give a whole number'],
    [['init', 'My Pipeline'], 'Use lower-case letters'],
    [['query', 'SELECT', '1'], 'too many arguments'],
  ])('%j is refused', async (args, message) => {
    const { program: created, err } = program()
    await expect(created.parseAsync(args, { from: 'user' })).rejects.toThrow()
    expect(err.join('')).toContain(message)
  })

  test.each([
    [['topics', 'creat', 'x'], 'unknown command "creat", did you mean "create"?'],
    [['pipelines', 'stop', 'x'], 'unknown command "stop"'],
    [['dlq', 'shw', 'x'], 'unknown command "shw", did you mean "show"?'],
  ])('%j is refused', async (args, message) => {
    const created = program().program
    await expect(created.parseAsync(args, { from: 'user' })).rejects.toMatchObject({ code: 'wrong_usage', message })
  })
})
