import { CommanderError } from 'commander'
import { expect, test } from 'vitest'
import { CommandFailed, exitCodes, reportFailure, WrongUsage } from '../../src/cli/failure.ts'
import { InvalidInput } from '../../src/core/errors.ts'
import { recordingTerminal } from '../support/terminal.ts'

const plain = { json: false, verbose: false }
const failure = new InvalidInput({
  code: 'bad_thing',
  message: 'that is bad',
  hint: 'do this',
  cause: new Error('the reason'),
})

test('one message with its code, and what to do', () => {
  const terminal = recordingTerminal()
  expect(reportFailure(failure, terminal, plain)).toBe(exitCodes.failed)
  expect(terminal.err).toEqual(['error: that is bad (bad_thing)', 'hint: do this'])
  expect(terminal.out).toEqual([])
})

test('one JSON object for programs', () => {
  const terminal = recordingTerminal()
  reportFailure(failure, terminal, { json: true, verbose: false })
  expect(terminal.err.map((line) => JSON.parse(line))).toEqual([
    { error: { code: 'bad_thing', message: 'that is bad', hint: 'do this' } },
  ])
})

test('stacks and causes only when asked for', () => {
  const terminal = recordingTerminal()
  reportFailure(failure, terminal, { json: false, verbose: true })
  expect(terminal.err.join('\n')).toMatch(/InvalidInput: that is bad[\s\S]*at [\s\S]*Error: the reason/)
})

test.each([
  ['wrong usage', new WrongUsage('no'), exitCodes.usage],
  ['an unknown option', new CommanderError(1, 'commander.unknownOption', 'no'), exitCodes.usage],
  ['the help', new CommanderError(0, 'commander.helpDisplayed', ''), exitCodes.done],
  ['a command that has said why', new CommandFailed(), exitCodes.failed],
  ['anything else', 'a string', exitCodes.failed],
])('the exit code of %s', (_name, error, code) => {
  expect(reportFailure(error, recordingTerminal(), plain)).toBe(code)
})
