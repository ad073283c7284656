import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isProcessIdentity, liveness, processOf, thisProcess } from '../../connectors/embedded-log/process.ts'

const prefix = 'millrace-services-'
const variable = 'MILLRACE_TEST_RUN'

/**
 * The folder of this test run: what was started for it, the servers' data and their logs. All processes of the run share
 * the one that the runner has opened; a program on its own opens one for itself and closes it when it ends.
 */
export function runFolder(): string {
  const shared = process.env[variable]
  if (shared !== undefined) return shared
  sweepRunFolders()
  const own = openRunFolder()
  process.on('exit', () => closeRunFolder(own))
  return own
}

/** Makes a run folder of this process and names it to the children of this process. */
export function openRunFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), prefix))
  writeFileSync(join(folder, 'owner.json'), JSON.stringify(thisProcess()))
  mkdirSync(join(folder, 'started'))
  process.env[variable] = folder
  return folder
}

/** A new folder for one server's data and log. */
export function newServerFolder(name: string): string {
  return mkdtempSync(join(runFolder(), `${name}-`))
}

/** Notes a process that has to end with the run. Call it in the same turn that starts the process. */
export function recordProcess(pid: number): void {
  writeFileSync(join(runFolder(), 'started', `${pid}.json`), JSON.stringify(processOf(pid)))
}

/** Notes a container that has to end with the run. */
export function recordContainer(id: string): void {
  writeFileSync(join(runFolder(), 'started', `${id}.json`), JSON.stringify({ container: id }))
}

/** Ends what was started for the run and removes its folder. Synchronous, so that a process can do it as it ends. */
export function closeRunFolder(folder: string): void {
  for (const file of entries(join(folder, 'started'))) end(readJson(join(folder, 'started', file)))
  // A process that is just ending may still add a file.
  rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
}

/** Closes the folders of runs whose process ended before it could do so. */
export function sweepRunFolders(): void {
  for (const name of entries(tmpdir()).filter((entry) => entry.startsWith(prefix))) {
    const owner = readJson(join(tmpdir(), name, 'owner.json'))
    if (isProcessIdentity(owner) && liveness(owner) === 'dead') closeRunFolder(join(tmpdir(), name))
  }
}

function end(started: unknown): void {
  if (isProcessIdentity(started)) {
    if (liveness(started) === 'alive') killQuietly(started.pid)
  } else if (typeof started === 'object' && started !== null && 'container' in started) {
    removeContainer(String(started.container))
  }
}

function removeContainer(id: string): void {
  try {
    execFileSync('docker', ['rm', '--force', '--volumes', id], { stdio: 'ignore', timeout: 30_000 })
  } catch {
    // It is gone, or the engine is.
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended in between.
  }
}

function entries(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}
