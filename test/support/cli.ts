import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface CliOptions {
  /** The folder the command runs in. Its data folder is `data/` in there unless the environment says otherwise. */
  readonly cwd: string
  readonly env?: Readonly<Record<string, string>>
  /** What the command reads from its standard input, which is empty otherwise. */
  readonly input?: string
}

export interface CliExit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface RunningCli {
  readonly pid: number
  /** Where the process serves, such as `http://127.0.0.1:40123`. */
  readonly address: string
  /** Everything printed so far. */
  stdout(): string
  stderr(): string
  kill(signal?: NodeJS.Signals): void
  /** Stops reading its standard output, as `head` does when it has seen enough. */
  closeOutput(): void
  readonly exited: Promise<CliExit>
  /** Waits until the standard output holds the pattern. */
  prints(pattern: RegExp, timeoutMs?: number): Promise<RegExpMatchArray>
  /** Ends the process by SIGTERM, by SIGKILL if that takes too long, and waits for its end. */
  [Symbol.asyncDispose](): Promise<void>
}

const main = createRequire(import.meta.url).resolve('#millrace')
const startTimeoutMs = 20_000
const stopTimeoutMs = 10_000

/** A folder for one test; removed at the end of its scope. */
export async function tempFolder(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'millrace-test-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 5 }) }
}

/** Runs a command to its end. Needs `npm run build:code`. */
export async function runCli(
  args: readonly string[],
  options: CliOptions,
): Promise<CliExit & { readonly stdout: string; readonly stderr: string }> {
  const command = launch(args, options)
  const exit = await command.exited
  return { ...exit, stdout: command.stdout(), stderr: command.stderr() }
}

/**
 * Starts a command that serves, such as `['run']`, on a free port unless told otherwise, and waits until it is
 * ready: its pipelines run. Throws with what it printed if it ends before that.
 */
export async function startCli(args: readonly string[], options: CliOptions): Promise<RunningCli> {
  const command = launch(args, options)
  const deadline = Date.now() + startTimeoutMs
  try {
    const [address] = await command.prints(/https?:\/\/[^\s",/]+/, startTimeoutMs)
    while (!(await isReady(address))) {
      if (Date.now() > deadline) throw new Error(`${address} does not become ready\n${command.stderr()}`)
      await new Promise((resume) => setTimeout(resume, 20))
    }
    return { ...command, address }
  } catch (error) {
    await command[Symbol.asyncDispose]()
    throw error
  }
}

async function isReady(address: string): Promise<boolean> {
  const answer = await fetch(`${address}/readyz`)
  await answer.body?.cancel()
  return answer.ok
}

/** Starts a command that does not serve, such as `tap`. */
export function launch(args: readonly string[], { cwd, env, input }: CliOptions): Omit<RunningCli, 'address'> {
  const child = spawn(process.execPath, [main, ...args], {
    cwd,
    env: { ...cleanEnvironment(), MILLRACE_DATA: join(cwd, 'data'), MILLRACE_SERVER_PORT: '0', NO_COLOR: '1', ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const stdout = collect(child, 'stdout')
  const stderr = collect(child, 'stderr')
  // A command that ends without having read its input closes the pipe.
  child.stdin.on('error', () => {})
  child.stdin.end(input ?? '')

  const exited = new Promise<CliExit>((done, fail) => {
    child.once('error', fail)
    child.once('close', (code, signal) => done({ code, signal }))
  })
  const ended = () => child.exitCode !== null || child.signalCode !== null
  const kill = (signal: NodeJS.Signals = 'SIGTERM') => {
    if (!ended()) child.kill(signal)
  }

  return {
    pid: child.pid ?? 0,
    stdout,
    stderr,
    kill,
    closeOutput: () => void child.stdout.destroy(),
    exited,
    prints: async (pattern, timeoutMs = 10_000) => {
      const deadline = Date.now() + timeoutMs
      for (;;) {
        const found = stdout().match(pattern)
        if (found) return found
        const why = ended() ? `ended (${child.exitCode ?? child.signalCode})` : 'is silent'
        if (ended() || Date.now() > deadline) {
          throw new Error(`millrace ${args.join(' ')} ${why}, no ${pattern}\n${stdout()}\n${stderr()}`)
        }
        await new Promise((resume) => setTimeout(resume, 10))
      }
    },
    [Symbol.asyncDispose]: async () => {
      kill('SIGTERM')
      const lastResort = setTimeout(() => kill('SIGKILL'), stopTimeoutMs)
      await exited.finally(() => clearTimeout(lastResort))
    },
  }
}

function collect(child: ChildProcess, stream: 'stdout' | 'stderr'): () => string {
  let text = ''
  child[stream]?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  return () => text
}

/** The settings of whoever runs the tests must not reach the process under test. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const entries = Object.entries(process.env).filter(
    ([name]) => !/^(MILLRACE|KAFKA|CLICKHOUSE|MILVUS|PINECONE|REDIS|SCHEMA_REGISTRY|FORCE_COLOR)/.test(name),
  )
  return Object.fromEntries(entries)
}
