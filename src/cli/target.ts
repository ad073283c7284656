import { setTimeout as delay } from 'node:timers/promises'
import type { Command } from 'commander'
import type { Runtime } from '../config/runtime.ts'
import { errorMessage, InvalidInput, MillraceError, Retryable } from '../core/errors.ts'
import type { PipelineControl } from '../core/pipeline.ts'
import type { Target } from './api.ts'
import type { Cli, DataOptions } from './cli.ts'
import type { SecureFiles } from './secure-request.ts'
import type { Terminal } from './terminal.ts'

/** Gives a command the options by which it finds the data. */
export function dataOptions(command: Command): Command {
  return command
    .option('--server <url>', 'the server to ask (default: the one that runs here, or none at all)')
    .option('--token <token>', 'the token that the server wants (default: that of the runtime)')
    .option('--cert <file>', 'the certificate to show to a server that asks for one')
    .option('--cert-key <file>', 'the key of that certificate')
    .option('--json', 'print JSON')
}

/**
 * Whoever answers the HTTP API: the server that was named, else the process that runs on the data folder, else the
 * same application in this process, with the data opened for this command alone.
 */
export async function openTarget(options: DataOptions, cli: Cli): Promise<Target> {
  const { openRuntime } = await import('./runtime.ts')
  const runtime = await openRuntime(cli, options)
  const token = options.token ?? runtime.server.token
  const { cert, certKey: key } = options
  if (options.server !== undefined) return remoteTarget(serverUrl(options.server), token, { cert, key })
  const address = await runningAddress(runtime.data)
  return address === undefined
    ? localTarget(runtime, cli.terminal)
    : remoteTarget(address, token, { server: runtime.server.tls?.cert, cert, key })
}

const startTimeoutMs = 10_000
const pollMs = 50

/** The address of the process that runs on a data folder. One that is just starting is waited for. */
async function runningAddress(folder: string): Promise<string | undefined> {
  const { readLock } = await import('../../connectors/embedded-log/lock.ts')
  const deadline = performance.now() + startTimeoutMs
  for (;;) {
    const running = await readLock(folder)
    if (running === undefined || running.address !== undefined) return running?.address
    if (performance.now() > deadline) {
      const message = `process ${running.pid} holds the data folder ${folder} but does not serve`
      throw new MillraceError({ code: 'data_in_use', message, hint: 'wait until it has started, or stop it' })
    }
    await delay(pollMs)
  }
}

function serverUrl(text: string): string {
  const address = text.includes('://') ? text : `http://${text}`
  if (URL.canParse(address) && /^https?:/.test(address)) return address.replace(/\/+$/, '')
  const message = `--server ${text} is no address`
  throw new InvalidInput({ code: 'bad_address', message, hint: 'write it like http://127.0.0.1:8080' })
}

function remoteTarget(address: string, token: string | undefined, files: SecureFiles): Target {
  return {
    where: address,
    request: async (path, init) => {
      try {
        return await ask(address + path, withToken(init, token), files)
      } catch (error) {
        if (init?.signal?.aborted === true || error instanceof MillraceError) throw error
        throw new Retryable({
          code: 'server_unreachable',
          message: `${address} cannot be reached: ${reason(error)}`,
          hint: 'is it running? millrace run starts one',
          cause: error,
        })
      }
    },
    [Symbol.asyncDispose]: async () => {},
  }
}

async function ask(url: string, init: RequestInit, files: SecureFiles): Promise<Response> {
  const isPlain = Object.values(files).every((file) => file === undefined)
  if (isPlain || !url.startsWith('https:')) return fetch(url, init)
  const { secureRequest } = await import('./secure-request.ts')
  return secureRequest(new URL(url), init, files)
}

/** Loaded only here: a command that talks to a server needs none of it. */
async function localTarget(runtime: Runtime, terminal: Terminal): Promise<Target> {
  const { openApplication } = await import('./application.ts')
  const { createLog } = await import('../telemetry/index.ts')
  const { downloadReport } = await import('./download-report.ts')
  const log = createLog({ write: (line) => terminal.note(line), level: 'error', format: 'text' })
  const { app, close } = await openApplication(runtime, notRunning, log, downloadReport(terminal))
  return {
    where: runtime.data,
    request: async (path, init) => app.request(new URL(path, 'http://localhost').href, init),
    [Symbol.asyncDispose]: close,
  }
}

function withToken(init: RequestInit = {}, token: string | undefined): RequestInit {
  if (token === undefined) return init
  const headers = new Headers(init.headers)
  headers.set('authorization', `Bearer ${token}`)
  return { ...init, headers }
}

/** `fetch` itself only says that it failed; the cause says why. */
function reason(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined
  return cause instanceof Error && cause.message !== '' ? cause.message : errorMessage(error)
}

async function refuse(): Promise<never> {
  throw new MillraceError({
    code: 'not_running',
    message: 'no Millrace runs on this data folder, so it has no running pipelines',
    hint: 'millrace run starts one; --server URL asks another',
  })
}

const notRunning: PipelineControl = {
  list: async () => [],
  get: refuse,
  put: refuse,
  remove: refuse,
  pause: refuse,
  resume: refuse,
}
