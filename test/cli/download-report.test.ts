import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { downloadReport } from '../../src/cli/download-report.ts'
import type { Terminal } from '../../src/cli/terminal.ts'

/** Everything that a fake terminal was told, in order. */
function fakeTerminal(interactive: boolean) {
  const said: string[] = []
  const terminal: Terminal = {
    interactive,
    columns: interactive ? 40 : 0,
    colours: false,
    print: (text) => said.push(`print ${text}`),
    note: (text) => said.push(`note ${text}`),
    json: () => said.push('json'),
    style: (_, text) => text,
    progress: (text) => said.push(`progress ${text}`),
  }
  return { said, terminal }
}

const model = 'owner/name'
const total = 100_000_000

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

test('on a terminal a line is redrawn, and is no longer than the screen', () => {
  const { said, terminal } = fakeTerminal(true)
  const report = downloadReport(terminal)
  report({ model, done: 0, total, finished: false })
  vi.advanceTimersByTime(50)
  report({ model, done: 1_000_000, total, finished: false })
  vi.advanceTimersByTime(1_950)
  report({ model, done: 50_000_000, total, finished: false })
  report({ model, done: total, total, finished: true })
  expect(said).toEqual([
    'progress ░░░░░░░░░░░░░░░░░░░░ owner/name  0 %, 0',
    'progress ██████████░░░░░░░░░░ owner/name  50 %, ',
    'progress ',
    'note downloaded the model owner/name, 100 MB',
  ])
  for (const line of said) expect(line.length).toBeLessThan('progress '.length + 40)
})

test('elsewhere a line is written every few seconds, and nothing to the standard output', () => {
  const { said, terminal } = fakeTerminal(false)
  const report = downloadReport(terminal)
  for (let second = 0; second <= 12; second++) {
    report({ model, done: second * 5_000_000, total, finished: false })
    vi.advanceTimersByTime(1_000)
  }
  report({ model, done: total, total, finished: true })
  expect(said.filter((line) => !line.startsWith('progress '))).toEqual([
    'note downloading the model owner/name  0 %, 0 B of 100 MB',
    'note downloading the model owner/name  25 %, 25 MB of 100 MB, 5 MB/s, 15 s left',
    'note downloading the model owner/name  50 %, 50 MB of 100 MB, 5 MB/s, 10 s left',
    'note downloaded the model owner/name, 100 MB',
  ])
})

test('with a log, the lines go there', () => {
  const { said, terminal } = fakeTerminal(false)
  const info = vi.fn()
  const report = downloadReport(terminal, { debug: info, info, warn: info, error: info })
  report({ model, done: 0, total: 1_000, finished: false })
  expect(info).toHaveBeenCalledExactlyOnceWith('downloading the model owner/name  0 %, 0 B of 1 kB')
  expect(said.every((line) => line.startsWith('progress '))).toBe(true)
})

test('a long download is told in minutes', () => {
  const { said, terminal } = fakeTerminal(false)
  const report = downloadReport(terminal)
  report({ model, done: 0, total, finished: false })
  vi.advanceTimersByTime(10_000)
  report({ model, done: 5_000_000, total, finished: false })
  expect(said.at(-1)).toBe('note downloading the model owner/name  5 %, 5 MB of 100 MB, 500 kB/s, 3 min 10 s left')
})
