import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { recordProcess } from './run-folder.ts'

/** How one server is run as a process of this machine. */
export interface ServerPlan {
  readonly name: string
  /** Holds the server's data and its log. It is made if it is not there, and removed when the server is disposed of. */
  readonly folder: string
  readonly command: string
  readonly args: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  /** Sends one request of the server's own protocol; fails as long as the server cannot serve it. */
  readonly ask: () => Promise<void>
}

/** A server on this machine that a test may stop and start as it likes; its data and address stay. */
export interface LocalServer extends AsyncDisposable {
  readonly pid: () => number
  /** Where its output goes. */
  readonly log: string
  /** Asks it to end, and waits until it has. */
  stop(): Promise<void>
  /** Ends it as a crash would. */
  kill(): Promise<void>
  /** Starts it again, after stopping it if it runs, and waits until it answers. */
  restart(): Promise<void>
  /** Holds it, as a machine that sleeps or a network that is cut. */
  pause(): void
  resume(): void
}

const startTimeoutMs = 90_000
const stopTimeoutMs = 20_000

/** Starts a server and waits until it answers. The process ends with the test run at the latest. */
export async function startServer(plan: ServerPlan): Promise<LocalServer> {
  mkdirSync(plan.folder, { recursive: true })
  const log = join(plan.folder, `${plan.name}.log`)
  let child = run(plan, log)
  await answers(plan, child, log)

  const end = async (signal: NodeJS.Signals) => {
    if (hasEnded(child)) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill(signal)
    child.kill('SIGCONT')
    const lastResort = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs)
    await ended
    clearTimeout(lastResort)
  }

  return {
    pid: () => child.pid ?? 0,
    log,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    restart: async () => {
      await end('SIGTERM')
      child = run(plan, log)
      await answers(plan, child, log)
    },
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    [Symbol.asyncDispose]: async () => {
      await end('SIGKILL')
      await rm(plan.folder, { recursive: true, force: true, maxRetries: 10 })
    },
  }
}

/** In a session of its own, so that Ctrl-C reaches the test run alone, and without holding up its starter's end. */
function run(plan: ServerPlan, log: string): ChildProcess {
  const output = openSync(log, 'a')
  const child = spawn(plan.command, plan.args, {
    cwd: plan.folder,
    env: { ...process.env, ...plan.environment },
    stdio: ['ignore', output, output],
    detached: true,
  })
  closeSync(output)
  child.unref()
  try {
    if (child.pid !== undefined) recordProcess(child.pid)
  } catch (error) {
    // The run is over, and nobody would end this server.
    child.kill('SIGKILL')
    throw error
  }
  return child
}

async function answers(plan: ServerPlan, child: ChildProcess, log: string): Promise<void> {
  let problem: unknown
  child.once('error', (error) => {
    problem = error
  })
  const deadline = Date.now() + startTimeoutMs
  for (;;) {
    try {
      await plan.ask()
      return
    } catch (error) {
      problem ??= error
    }
    const why = hasEnded(child) ? `ended (${child.exitCode ?? child.signalCode ?? 'not started'})` : 'does not answer'
    if (hasEnded(child) || Date.now() > deadline) {
      child.kill('SIGKILL')
      throw new Error(`${plan.name} ${why}: ${problem}\n${plan.command} ${plan.args.join(' ')}\n${tail(log)}`)
    }
    await sleep(100)
    problem = undefined
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null
}

function tail(file: string): string {
  return readFileSync(file, 'utf8').split('\n').slice(-30).join('\n')
}
