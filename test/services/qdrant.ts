import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { artefact } from './artefacts.ts'
import { freePorts } from './ports.ts'
import { newServerFolder } from './run-folder.ts'
import { type LocalServer, startServer } from './server.ts'

export interface QdrantServer extends LocalServer {
  readonly url: string
}

/**
 * The address in `QDRANT_URL`, or that of a server that is started for this process: Qdrant's engine behind its REST API.
 * `undefined`, with the reason printed, if there is none; an error if `CI=true`.
 */
export async function findQdrant(): Promise<string | undefined> {
  if (process.env.QDRANT_URL) return process.env.QDRANT_URL
  return (await findQdrantServer())?.url
}

/** The same as a server of one's own, that may be stopped. */
export async function findQdrantServer(apiKey?: string): Promise<QdrantServer | undefined> {
  const root = process.env.MILLRACE_TEST_PYTHON_ROOT ?? artefact('python')
  const python = join(root, 'bin/python')
  if (hasEngine(python)) return startQdrant(python, apiKey)
  const reason = 'no Qdrant: the Python package qdrant-edge-py is not there: run test/services/install.sh'
  if (process.env.CI === 'true') throw new Error(reason)
  console.warn(reason)
  return undefined
}

function hasEngine(python: string): boolean {
  if (!existsSync(python)) return false
  try {
    execFileSync(python, ['-c', 'import qdrant_edge'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

async function startQdrant(python: string, apiKey?: string): Promise<QdrantServer> {
  const [port = 0] = await freePorts(1)
  const folder = newServerFolder('qdrant')
  const url = `http://127.0.0.1:${port}`
  const program = join(import.meta.dirname, 'qdrant-edge.py')
  const args = [program, String(port), join(folder, 'data'), ...(apiKey === undefined ? [] : [apiKey])]
  const server = await startServer({ name: 'qdrant', folder, command: python, args, ask: () => ask(url, apiKey) })
  return { ...server, url }
}

async function ask(url: string, apiKey = ''): Promise<void> {
  const answer = await fetch(url, { headers: { 'api-key': apiKey }, signal: AbortSignal.timeout(2_000) })
  if (!answer.ok) throw new Error(`status ${answer.status}`)
}
