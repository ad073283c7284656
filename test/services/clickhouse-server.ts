import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface ClickHouseServerProcess extends AsyncDisposable {
  readonly url: string
  readonly pid: () => number | undefined
  /** Ends it in order, and removes a folder that was made here. */
  stop(): Promise<void>
  /** Ends it at once, wherever it is. */
  kill(): Promise<void>
  /** Starts it again after `kill`, on the same port and data. */
  restart(): Promise<void>
}

const main = join(createRequire(import.meta.url).resolve('#millrace'), '../../../test/support/clickhouse-main.js')
const startTimeoutMs = 60_000

/** ClickHouse's HTTP interface in front of chDB, in a process of its own. Needs `npm run build:code`. */
export async function startClickHouseServer(
  options: { readonly port?: number; readonly folder?: string } = {},
): Promise<ClickHouseServerProcess> {
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'millrace-clickhouse-server-')))
  let started = await start(options.port ?? 0, folder)
  const { url } = started
  const end = async (signal: NodeJS.Signals) => {
    const { child } = started
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill(signal)
    await exited
  }
  const stop = async () => {
    await end('SIGTERM')
    if (options.folder === undefined) await rm(folder, { recursive: true, force: true })
  }
  return {
    url,
    pid: () => started.child.pid,
    kill: () => end('SIGKILL'),
    restart: async () => {
      started = await start(Number(new URL(url).port), folder)
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

async function start(port: number, folder: string): Promise<{ readonly child: ChildProcess; readonly url: string }> {
  // Each statement that runs holds a thread of libuv's pool.
  const env = { ...process.env, UV_THREADPOOL_SIZE: '12' }
  const child = spawn(process.execPath, [main, String(port), folder], { stdio: ['pipe', 'pipe', 'pipe'], env })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-10_000)
  })
  const url = await new Promise<string>((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`the ClickHouse server ${why}\n${errors}`))
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      fail('does not start')
    }, startTimeoutMs)
    child.once('exit', () => fail('ended before it was up'))
    child.stdout.setEncoding('utf8').once('data', (text: string) => {
      clearTimeout(timer)
      resolve(text.trim())
    })
  })
  return { child, url }
}
