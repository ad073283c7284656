import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { Command } from 'commander'
import type { Runtime } from '../../config/runtime.ts'
import { errorCode, MillraceError } from '../../core/errors.ts'
import type { PipelineSpec } from '../../core/pipeline.ts'
import type { MigrationProgress, MigrationResult } from '../../migration/migrate.ts'
import { type Cli, examples, type GlobalOptions } from '../cli.ts'
import { formatAmount, formatCount } from '../table.ts'
import type { Terminal } from '../terminal.ts'

interface MigrateOptions extends GlobalOptions {
  readonly model?: string
  readonly to?: string
  readonly text?: string
  readonly reindex?: boolean
  readonly json?: boolean
}

/** Without a person who watches, progress is a line now and then. */
const lineEveryMs = 5_000

export function addMigrate(program: Command, cli: Cli): void {
  program
    .command('migrate')
    .description('embed a collection anew with another model, while it is written and searched, then switch over')
    .argument('<collection>', 'the collection')
    .argument('[files...]', 'the pipeline files that are run (default: those of the runtime)')
    .option('--model <model>', 'the new embedding model (default: embedder.model of the runtime)')
    .option('--to <name>', 'what the new vectors are called in the store (default: <collection>-2, …)')
    .option('--text <expression>', 'also take over what the log no longer has: the text of a point, from its fields')
    .option('--reindex', 'also if the collection has vectors of this model already')
    .option('--json', 'print JSON lines')
    .addHelpText(
      'after',
      examples(
        'millrace migrate tickets --model ./models/my-model',
        `millrace migrate tickets --model ./models/my-model --text 'value.subject + " " + value.body'`,
        'millrace migrate tickets --reindex',
      ),
    )
    .action(async (collection: string, files: string[], _options: MigrateOptions, command: Command) => {
      await run(cli, collection, files, command.optsWithGlobals())
    })
}

async function run(cli: Cli, collection: string, files: readonly string[], options: MigrateOptions): Promise<void> {
  const { terminal } = cli
  const { openRuntime } = await import('../runtime.ts')
  const { openServices } = await import('../services.ts')
  const { downloadReport } = await import('../download-report.ts')
  const { lockData } = await import('../../../connectors/embedded-log/lock.ts')
  const { createExpressions } = await import('../../expressions/index.ts')
  const { createLog, createMetrics } = await import('../../telemetry/index.ts')
  const { topicConfig } = await import('../../config/runtime.ts')
  const { catalog } = await import('../catalog.ts')
  const { migrate } = await import('../../migration/migrate.ts')

  const runtime = await openRuntime(cli, options, { MILLRACE_EMBEDDER_MODEL: options.model })
  const specs = await readSpecs(cli, runtime, files)
  const log = createLog({
    write: (line) => terminal.note(line),
    level: 'error',
    format: options.json ? 'json' : 'text',
  })
  // One process of a data folder moves a collection; the lock of a dead one is taken over.
  const lock = await lockData(join(runtime.data, 'migrations', folderOf(collection))).catch((cause: unknown) => {
    if (errorCode(cause) !== 'data_in_use') throw cause
    const message = `another process is moving the collection "${collection}"`
    throw new MillraceError({ code: 'migration_running', message, hint: 'wait for it, or end it', cause })
  })
  const services = openServices(runtime, { log, downloading: downloadReport(terminal) })
  const metrics = createMetrics()
  const reporter = options.json ? jsonReporter(terminal) : textReporter(terminal)
  try {
    const store = await services.placed.store()
    const result = await migrate({
      collection,
      specs,
      to: options.to,
      text: options.text,
      reindex: options.reindex,
      store,
      places: services.placed.places,
      expressions: createExpressions(),
      context: {
        services: { ...services, vectors: async () => store },
        catalog,
        expressions: createExpressions(),
        metrics,
        log,
        topic: (name) => topicConfig(runtime, name),
      },
      signal: cli.interruption().first,
      progress: reporter.progress,
    })
    reporter.done(result)
  } finally {
    terminal.progress('')
    metrics.close()
    await services.close()
    await lock.release()
  }
}

/** Those that `run` would start: the files, and before them what was put through the API. */
async function readSpecs(cli: Cli, runtime: Runtime, named: readonly string[]): Promise<readonly PipelineSpec[]> {
  const { findPipelineFiles, readPipelines } = await import('../project.ts')
  const { storedPipelines } = await import('../stored-pipelines.ts')
  const { catalog } = await import('../catalog.ts')
  const { parsePipeline } = await import('../../config/pipeline.ts')
  const { createExpressions } = await import('../../expressions/index.ts')
  const { createSerde } = await import('../../serde/index.ts')
  const files = await findPipelineFiles(cli, runtime, named)
  const specs = new Map(
    (await readPipelines({ runtime, files, folder: cli.folder }, cli.terminal)).map((spec) => [spec.name, spec]),
  )
  const parts = { catalog, expressions: createExpressions(), serde: createSerde({ folder: runtime.schemas }) }
  for (const { file, text } of await storedPipelines(join(runtime.data, 'pipelines')).load()) {
    const { spec } = await parsePipeline(text, { file, ...parts })
    if (spec !== undefined) specs.set(spec.name, spec)
  }
  return [...specs.values()]
}

/** A name that every file system takes. */
function folderOf(collection: string): string {
  return createHash('sha256').update(collection).digest('hex').slice(0, 16)
}

interface Reporter {
  progress(progress: MigrationProgress): void
  done(result: MigrationResult): void
}

function jsonReporter(terminal: Terminal): Reporter {
  return { progress: (progress) => terminal.json(progress), done: (result) => terminal.json(result) }
}

function textReporter(terminal: Terminal): Reporter {
  let lineAt = 0
  let from = ''
  const show = (text: string) => {
    terminal.progress(text)
    if (terminal.interactive || performance.now() - lineAt < lineEveryMs) return
    lineAt = performance.now()
    terminal.note(text)
  }
  return {
    progress(progress) {
      switch (progress.step) {
        case 'started':
          from = progress.from
          terminal.note(
            `${progress.collection}: new vectors go to ${progress.to}${progress.resumed ? ', which was begun before' : ''}`,
          )
          return
        case 'store':
          show(`taking over from the store: ${formatCount(progress.done)} of ${formatCount(progress.total)}`)
          return
        case 'log':
          show(
            `replaying: ${formatAmount(progress.lag, 'event')} to go${progress.reason ? ` (${progress.reason})` : ''}`,
          )
          return
        case 'switching':
          terminal.note('caught up; switching over')
      }
    },
    done({ outcome, collection, current, count }) {
      terminal.progress('')
      const vectors = formatAmount(count, 'vector')
      if (outcome === 'unchanged') {
        terminal.print(`${collection} has vectors of this model already; --reindex makes them anew`)
      } else if (outcome === 'interrupted') {
        terminal.print('interrupted; the same command goes on where it was')
      } else {
        terminal.print(`${collection} is now in ${current}, ${vectors}`)
        terminal.note(`restart every process with the new embedder.model; ${from} is no longer used`)
      }
    },
  }
}
