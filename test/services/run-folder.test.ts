import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type ProcessIdentity, processOf, thisProcess } from '../../connectors/embedded-log/process.ts'
import { sweepRunFolders } from './run-folder.ts'

/** A run folder as `owner` would have left it, with one process that was started for it. */
function leftBy(owner: ProcessIdentity) {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-services-'))
  mkdirSync(join(folder, 'started'))
  writeFileSync(join(folder, 'owner.json'), JSON.stringify(owner))
  const started = spawn('sleep', ['60'], { stdio: 'ignore' })
  const identity = processOf(started.pid ?? 0)
  writeFileSync(join(folder, 'started', `${identity.pid}.json`), JSON.stringify(identity))
  return { folder, started }
}

test('what a run has left that was killed is ended and removed by the next', async () => {
  // No process has this number: it is beyond the largest one.
  const { folder, started } = leftBy({ ...thisProcess(), pid: 2 ** 30 })
  const ended = once(started, 'exit')
  sweepRunFolders()
  expect(await ended).toEqual([null, 'SIGKILL'])
  expect(existsSync(folder)).toBe(false)
})

test('a run that still goes on is left alone', () => {
  const { folder, started } = leftBy(thisProcess())
  sweepRunFolders()
  expect(existsSync(folder)).toBe(true)
  expect(started.kill(0)).toBe(true)
  writeFileSync(join(folder, 'owner.json'), JSON.stringify({ ...thisProcess(), pid: 2 ** 30 }))
  sweepRunFolders()
  expect(existsSync(folder)).toBe(false)
})

test('a process that only has the number of one that was started is left alone', () => {
  const { folder, started } = leftBy({ ...thisProcess(), pid: 2 ** 30 })
  const other = { ...processOf(started.pid ?? 0), began: '1' }
  writeFileSync(join(folder, 'started', `${other.pid}.json`), JSON.stringify(other))
  sweepRunFolders()
  expect(started.kill(0)).toBe(true)
  started.kill('SIGKILL')
})
