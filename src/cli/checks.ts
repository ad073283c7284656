import { execFile } from 'node:child_process'
import { mkdir, rm, statfs, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { errorCode, errorMessage, MillraceError } from '../core/errors.ts'
import type { Role } from '../core/role.ts'
import { isComplete, locateModel, type ModelPlaces, type ModelSettings } from '../embedding/models/locate.ts'
import { readModel } from '../embedding/models/model.ts'
import type { RemoteOptions } from '../embedding/remote/index.ts'
import { packageRoot } from './package.ts'
import { type Embeddable, notBound } from './role-bindings.ts'
import { formatBytes } from './table.ts'

/** What one look at the surroundings has found. `fail`: nothing works until someone acts; `warn`: something may not. */
export interface Finding {
  readonly level: 'ok' | 'warn' | 'fail'
  readonly message: string
  /** What to do. */
  readonly hint?: string | undefined
}

const run = promisify(execFile)

export function checkNode(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const message = `Node ${process.versions.node}`
  if (major > 20 || (major === 20 && minor >= 19)) return { level: 'ok', message }
  return { level: 'fail', message, hint: 'install Node 20.19 or newer' }
}

export async function checkFolder(folder: string): Promise<Finding> {
  const probe = join(folder, `.millrace-probe-${process.pid}`)
  try {
    await mkdir(folder, { recursive: true })
    await writeFile(probe, 'x')
    await rm(probe)
    return { level: 'ok', message: `${folder} can be written` }
  } catch (error) {
    return {
      level: 'fail',
      message: `${folder} cannot be written: ${errorMessage(error)}`,
      hint: 'give this user the right to write there, or name another folder with --data or MILLRACE_DATA',
    }
  }
}

const littleSpace = 2e9
const noSpace = 200e6

export async function checkSpace(folder: string): Promise<Finding> {
  try {
    const { bavail, bsize } = await statfs(folder)
    const free = bavail * bsize
    const message = `${formatBytes(free)} free for ${folder}`
    if (free >= littleSpace) return { level: 'ok', message }
    return { level: free < noSpace ? 'fail' : 'warn', message, hint: 'free some space, or move the data folder' }
  } catch (error) {
    return { level: 'warn', message: `free space of ${folder} is not known: ${errorMessage(error)}` }
  }
}

const loadTimeoutMs = 60_000

/** Loads a package in a process of its own, because a native library that does not fit can take the process with it. */
export async function checkPackage(name: string, purpose: string, needed: boolean): Promise<Finding> {
  const script = `await import(${JSON.stringify(name)}); process.exit(0)`
  try {
    const options = { cwd: packageRoot(), timeout: loadTimeoutMs }
    await run(process.execPath, ['--input-type=module', '--eval', script], options)
    return { level: 'ok', message: `${name} loads (${purpose})` }
  } catch (error) {
    return {
      level: needed ? 'fail' : 'ok',
      message: `${name} does not load (${purpose})${needed ? `: ${reason(error)}` : ', and is not needed'}`,
      hint: needed ? `npm install ${name}, or bind a server in its place in millrace.yaml` : undefined,
    }
  }
}

/** The line of Node's report that says what was wrong. */
function reason(error: unknown): string {
  const lines = errorMessage(error).split('\n')
  return (lines.find((line) => /^\w*Error\b/.test(line)) ?? lines[0] ?? '').trim()
}

/** Reads the model as the embedder does, with the checksums of its files. Nothing is downloaded. */
export async function checkModel(settings: ModelSettings, places: ModelPlaces): Promise<Finding> {
  const { model: wanted, hub } = settings
  try {
    const located = await locateModel(wanted, places)
    if (located.hub !== undefined && !(await isComplete(located, settings))) {
      return {
        level: 'warn',
        message: `model ${wanted} is not downloaded yet`,
        hint: `the first run gets it from ${hub.url}; without a network, copy its files to ${located.folder}`,
      }
    }
    const { name, dimension, maxTokens, prefixes } = await readModel(located.folder, {
      ...settings,
      name: located.name,
    })
    const put = [prefixes.query, prefixes.passage].some((prefix) => prefix !== '')
    const details = [
      `${dimension} dimensions`,
      `up to ${maxTokens} tokens`,
      ...(put ? [`prefixes ${JSON.stringify(prefixes.query)} and ${JSON.stringify(prefixes.passage)}`] : []),
      'checksums as they should be',
    ]
    return { level: 'ok', message: `model ${name}: ${details.join(', ')}` }
  } catch (error) {
    const hint = error instanceof MillraceError ? error.hint : undefined
    return {
      level: 'fail',
      message: errorMessage(error),
      hint: hint ?? 'restore the files of the model, or choose another embedder.model',
    }
  }
}

/** Asks the server that computes vectors for its model, as the embedder does. */
export async function checkRemoteModel(options: RemoteOptions): Promise<Finding> {
  try {
    const { openRemoteBackend } = await import('../embedding/remote/index.ts')
    const backend = await openRemoteBackend(options)
    await backend.close()
    return {
      level: 'ok',
      message: `model ${backend.model} at ${new URL(options.url).origin}: ${backend.dimension} dimensions`,
    }
  } catch (error) {
    const hint = error instanceof MillraceError ? error.hint : undefined
    return { level: 'fail', message: errorMessage(error), hint }
  }
}

/** Whether a server may listen there. `ours`: the address of the Millrace that runs on the same data. */
export async function checkPort(host: string, port: number, ours: string | undefined): Promise<Finding> {
  const where = `${host}:${port}`
  if (ours !== undefined) return { level: 'ok', message: `Millrace is running at ${ours}` }
  const error = await new Promise<Error | undefined>((done) => {
    const server = createServer()
    server.once('error', done)
    server.listen(port, host, () => server.close(() => done(undefined)))
  })
  if (error === undefined) return { level: 'ok', message: `${where} is free` }
  if (errorCode(error) !== 'EADDRINUSE') return { level: 'fail', message: `${where}: ${error.message}` }
  return { level: 'fail', message: `${where} is in use`, hint: 'end what listens there, or choose another --port' }
}

/** Something that the role has on servers only, and that is bound to none. A gateway is of no use without channels. */
export function checkBinding(role: Role, part: Embeddable): Finding {
  const { message, hint } = notBound(role, part)
  return { level: role === 'gateway' && part === 'channels' ? 'fail' : 'warn', message, hint }
}

const connectTimeoutMs = 3_000

/** Whether a bound server can be reached by TCP. */
export async function checkServer(name: string, host: string, port: number): Promise<Finding> {
  const error = await new Promise<Error | undefined>((done) => {
    const socket = connect({ host, port, timeout: connectTimeoutMs })
    const end = (failure?: Error) => {
      socket.destroy()
      done(failure)
    }
    socket.once('connect', () => end())
    socket.once('error', end)
    socket.once('timeout', () => end(new Error(`no answer within ${connectTimeoutMs / 1000} s`)))
  })
  const where = `${name} at ${host}:${port}`
  if (error === undefined) return { level: 'ok', message: `${where} can be reached` }
  const hint = 'check the address in millrace.yaml or the environment, and that the server is up'
  return { level: 'fail', message: `${where}: ${error.message || errorCode(error) || 'cannot be reached'}`, hint }
}
