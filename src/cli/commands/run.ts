import { type Command, InvalidArgumentError } from 'commander'
import type { Runtime } from '../../config/runtime.ts'
import type { NamedQuery } from '../../core/named-query.ts'
import { didYouMean } from '../../core/nearest.ts'
import type { PipelineSpec } from '../../core/pipeline.ts'
import { type Role, roles } from '../../core/role.ts'
import type { Log } from '../../telemetry/index.ts'
import { type Cli, examples, type GlobalOptions, wholeNumber } from '../cli.ts'
import type { ReportDownload } from '../download-report.ts'
import { WrongUsage } from '../failure.ts'
import { packageVersion } from '../package.ts'
import { protection } from '../protection.ts'
import type { Millrace } from '../start.ts'
import type { Terminal } from '../terminal.ts'

interface RunOptions extends GlobalOptions {
  readonly port?: number
  readonly host?: string
  readonly role?: Role
  readonly json?: boolean
}

export function addRun(program: Command, cli: Cli): void {
  program
    .command('run')
    .description('run pipelines, the HTTP API, the live WebSocket and the dashboard')
    .argument('[files...]', 'pipeline files (default: those of the runtime)')
    .option('--port <port>', 'the port of the HTTP API; 0 takes a free one (default: 8080)', wholeNumber(0, 65_535))
    .option('--host <host>', 'the address to listen on (default: 127.0.0.1)')
    .option('--role <role>', `what this process does: ${roles.join(' or ')} (default: all)`, role)
    .option('--json', 'print JSON lines; the log, on the standard error, too')
    .addHelpText(
      'after',
      examples(
        'millrace run',
        'millrace run pipelines/support-tickets.yaml --port 9000',
        'millrace run --data /var/lib/millrace',
        'millrace run --role processor --port 8081',
        'millrace run --role gateway',
        'millrace run --role embedder --port 8082 --data ./embedder',
      ),
    )
    .action(async (files: string[], _options: RunOptions, command: Command) => {
      await run(cli, files, command.optsWithGlobals())
    })
}

/** Reads a role from the command line. */
function role(text: string): Role {
  const known = roles.find((name) => name === text)
  if (known !== undefined) return known
  throw new InvalidArgumentError(`There are ${roles.join(' and ')}${didYouMean(text, roles)}`)
}

async function run(cli: Cli, files: readonly string[], options: RunOptions): Promise<void> {
  const { terminal } = cli
  const { openRuntime } = await import('../runtime.ts')
  const { createLog } = await import('../../telemetry/index.ts')
  const { downloadReport } = await import('../download-report.ts')
  const { host, port, json = false } = options
  const twins = {
    MILLRACE_ROLE: options.role,
    MILLRACE_SERVER_HOST: host,
    MILLRACE_SERVER_PORT: port?.toString(),
  }
  const runtime = await openRuntime(cli, options, twins)
  const specs = await specsFor(cli, runtime, files)
  const queries = await queriesFor(cli, runtime)

  const log = createLog({ write: (line) => terminal.note(line), format: json ? 'json' : 'text' })
  const { first, second } = cli.interruption()
  const millrace = await start(runtime, specs, queries, log, downloadReport(terminal, log))
  try {
    if (json) printEvents(terminal, millrace, first)
    else printStarted(terminal, runtime, millrace, specs)
    await Promise.race([aborted(first), millrace.ended])
    if (!json && first.aborted) terminal.note('finishing what was read; Ctrl-C again stops at once')
  } finally {
    await millrace.stop(second)
  }
  if (json) terminal.json({ event: 'stopped' })
  else terminal.print('stopped')
}

/** The pipelines that a process of the role runs. */
async function specsFor(cli: Cli, runtime: Runtime, files: readonly string[]): Promise<readonly PipelineSpec[]> {
  const { role } = runtime
  if (role === 'embedder' || role === 'gateway') {
    if (files.length === 0) return []
    throw new WrongUsage(`a process of the role ${role} runs no pipelines`, 'leave the files out, or the role')
  }
  const { findPipelineFiles, readPipelines } = await import('../project.ts')
  const found = await findPipelineFiles(cli, runtime, files)
  return readPipelines({ runtime, files: found, folder: cli.folder }, cli.terminal)
}

/** The named queries that a process of the role serves. */
async function queriesFor(cli: Cli, runtime: Runtime): Promise<readonly NamedQuery[]> {
  if (runtime.role !== 'all' && runtime.role !== 'gateway') return []
  const { readQueries } = await import('../query-files.ts')
  return readQueries(runtime, cli.folder, cli.terminal)
}

async function start(
  runtime: Runtime,
  specs: readonly PipelineSpec[],
  queries: readonly NamedQuery[],
  log: Log,
  downloading: ReportDownload,
): Promise<Millrace> {
  if (runtime.role === 'embedder') {
    const { startEmbedder } = await import('../start-embedder.ts')
    return startEmbedder({ runtime, log, downloading })
  }
  const { startMillrace } = await import('../start.ts')
  return startMillrace({ runtime, specs, queries, log, downloading })
}

function printEvents(terminal: Terminal, { address, pipelines, ready }: Millrace, interrupted: AbortSignal): void {
  terminal.json({ event: 'listening', address, pipelines })
  const say = () => {
    if (!interrupted.aborted) terminal.json({ event: 'ready' })
  }
  // What keeps it from becoming ready ends the process, and is told then.
  ready.then(say, () => undefined)
}

function printStarted(
  terminal: Terminal,
  { role, embedder, server }: Runtime,
  { address, pipelines }: Millrace,
  specs: readonly PipelineSpec[],
): void {
  const dim = (text: string) => terminal.style('dim', text)
  terminal.print(`${terminal.style('bold', `Millrace ${packageVersion()}`)}`)
  terminal.print()
  const servesPages = role === 'all' || role === 'gateway'
  if (servesPages) terminal.print(`  dashboard  ${terminal.style('cyan', `${address}/`)}`)
  terminal.print(`  API        ${terminal.style('cyan', `${address}/v1`)}   ${dim(`${address}/openapi.json`)}`)
  terminal.print(`  open to    ${dim(protection(server))}`)
  if (role === 'embedder') terminal.print(`  embedder   ${embedder.model}`)
  if (pipelines.length === 0 && (role === 'all' || role === 'processor')) {
    terminal.print('  pipelines  none; millrace init writes one to start from')
  }
  for (const [index, name] of pipelines.entries()) {
    const spec = specs.find((known) => known.name === name)
    terminal.print(`  ${index === 0 ? 'pipelines' : '         '}  ${name} ${dim(spec === undefined ? '' : flow(spec))}`)
  }
  const topic = specs.flatMap(({ source }) => (source.kind === 'topics' ? source.topics : []))[0]
  if (topic !== undefined && servesPages) {
    terminal.print()
    terminal.print(
      `  ${dim(`in another terminal: millrace publish ${topic} '{…}' · millrace tap ${topic} · Ctrl-C stops`)}`,
    )
  }
  terminal.print()
}

/** `support.tickets → clickhouse, vectors, live` */
function flow({ source, sinks }: PipelineSpec): string {
  const from = source.kind === 'topics' ? source.topics.join(', ') : source.use.name
  return `${from} → ${sinks.map(({ name }) => name).join(', ')}`
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) done()
    else signal.addEventListener('abort', () => done(), { once: true })
  })
}
