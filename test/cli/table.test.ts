import { expect, test } from 'vitest'
import { formatBytes, formatCount, printTable } from '../../src/cli/table.ts'
import { recordingTerminal } from '../support/terminal.ts'

test('columns line up, numbers on the right', () => {
  const terminal = recordingTerminal()
  printTable(
    terminal,
    [{ title: 'NAME' }, { title: 'N', right: true }, { title: 'NOTE' }],
    [
      ['ünïcode', '5', 'two\n  lines'],
      ['a', '1234', ''],
    ],
  )
  expect(terminal.out).toEqual(['NAME        N  NOTE', 'ünïcode     5  two lines', 'a        1234'])
})

test('what is stored cannot command the terminal', () => {
  const terminal = recordingTerminal()
  printTable(terminal, [{ title: 'A' }], [['a\u001b[2Jb\u009b1mc\td\u0000']])
  expect(terminal.out).toEqual(['A', 'a [2Jb 1mc d'])
})

test('a line ends where the screen ends', () => {
  const terminal = recordingTerminal(10)
  printTable(terminal, [{ title: 'A' }], [['0123456789'], ['01234567890']])
  expect(terminal.out).toEqual(['A', '0123456789', '012345678…'])
})

test('counts and sizes as people read them', () => {
  expect(formatCount(1_234_567)).toBe('1,234,567')
  expect([0, 999, 1_000, 1_550_000, 3e15].map(formatBytes)).toEqual(['0 B', '999 B', '1 kB', '1.6 MB', '3,000 TB'])
})
