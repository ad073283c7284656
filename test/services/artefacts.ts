import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** The folder that `test/services/install.sh` fills with the servers that are not part of the system. */
export function artefact(...path: string[]): string {
  const folder = process.env.MILLRACE_TEST_SERVICES ?? join(homedir(), '.cache', 'millrace-test-services')
  return join(folder, ...path)
}

/** Why a file of that folder cannot be used; `undefined` if it is there. */
export function missingArtefact(...path: string[]): string | undefined {
  const file = artefact(...path)
  return existsSync(file) ? undefined : `${file} is not there: run test/services/install.sh`
}

/** Why a command of the system cannot be used; `undefined` if it runs. */
export async function missingCommand(command: string, versionFlag: string): Promise<string | undefined> {
  try {
    await run(command, [versionFlag], { timeout: 20_000 })
    return undefined
  } catch {
    return `${command} does not run: run test/services/install.sh`
  }
}

/** A Python with `confluent_kafka` and `openai`: clients that share no code with this project. */
export function findPython(): string | undefined {
  const python = process.env.MILLRACE_TEST_PYTHON ?? artefact('python', 'bin', 'python')
  if (existsSync(python)) return python
  const reason = `no Python with confluent_kafka: ${python} is not there: run test/services/install.sh`
  if (process.env.CI === 'true') throw new Error(reason)
  console.warn(reason)
  return undefined
}
