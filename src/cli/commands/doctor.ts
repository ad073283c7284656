import type { Command } from 'commander'
import type { Runtime } from '../../config/runtime.ts'
import type { Finding } from '../checks.ts'
import { type Cli, examples, type GlobalOptions } from '../cli.ts'
import { CommandFailed } from '../failure.ts'

interface DoctorOptions extends GlobalOptions {
  readonly json?: boolean
}

type Check = () => Finding | Promise<Finding>

const marks = { ok: '✓', warn: '!', fail: '✗' } as const
const colours = { ok: 'green', warn: 'yellow', fail: 'red' } as const

export function addDoctor(program: Command, cli: Cli): void {
  program
    .command('doctor')
    .description('check whether everything that Millrace needs is there')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('millrace doctor'))
    .action(async ({ json = false }: DoctorOptions, command: Command) => {
      const { openRuntime } = await import('../runtime.ts')
      const runtime = await openRuntime(cli, command.optsWithGlobals())
      const findings: Finding[] = []
      for (const check of await checksOf(runtime)) {
        if (!json) cli.terminal.progress('looking …')
        const finding = await check()
        findings.push(finding)
        if (!json) print(cli, finding)
      }
      cli.terminal.progress('')
      const failed = findings.some(({ level }) => level === 'fail')
      if (json) cli.terminal.json({ ok: !failed, findings })
      else cli.terminal.print(failed ? 'something needs attention' : 'all is well')
      if (failed) throw new CommandFailed()
    })
}

function print({ terminal }: Cli, { level, message, hint }: Finding): void {
  terminal.print(`${terminal.style(colours[level], marks[level])} ${message}`)
  if (hint !== undefined) terminal.print(`    ${hint}`)
}

async function checksOf(runtime: Runtime): Promise<Check[]> {
  const checks = await import('../checks.ts')
  const { modelPlaces } = await import('../services.ts')
  const { boundServers } = await import('../bound-servers.ts')
  const { missingParts } = await import('../role-bindings.ts')
  const { checkDoor } = await import('../protection.ts')
  const { data, server, role, embedder, clickhouse, vectors = {} } = runtime
  const { remote } = embedder
  const embeds = role === 'embedder'
  const hasOwnStores = role === 'all' || role === 'processor'
  const isVectorsBound = Object.values(vectors).some((store) => store !== undefined) && vectors.lancedb === undefined
  return [
    checks.checkNode,
    () => checks.checkFolder(data),
    () => checks.checkSpace(data),
    () => checks.checkPackage('lmdb', 'the event log and the live log', hasOwnStores || embeds),
    () => checks.checkPackage('@lancedb/lancedb', 'vectors in the process', hasOwnStores && !isVectorsBound),
    () => checks.checkPackage('chdb', 'ClickHouse in the process', hasOwnStores && clickhouse === undefined),
    () => checks.checkPackage('onnxruntime-node', 'embeddings', remote === undefined),
    () =>
      remote ? checks.checkRemoteModel({ ...embedder, ...remote }) : checks.checkModel(embedder, modelPlaces(data)),
    ...missingParts(runtime).map((part) => () => checks.checkBinding(role, part)),
    () => checkDoor(server),
    async () => checks.checkPort(server.host, server.port, role === 'gateway' ? undefined : await runningAddress(data)),
    ...boundServers(runtime).map(
      ({ name, host, port }) =>
        () =>
          checks.checkServer(name, host, port),
    ),
  ]
}

async function runningAddress(folder: string): Promise<string | undefined> {
  const { readLock } = await import('../../../connectors/embedded-log/lock.ts')
  return (await readLock(folder))?.address
}
