import { resolve } from 'node:path'
import type { Command } from 'commander'
import { type Cli, examples, type GlobalOptions } from '../cli.ts'
import { CommandFailed } from '../failure.ts'
import { formatAmount } from '../table.ts'

interface LintOptions extends GlobalOptions {
  readonly json?: boolean
}

export function addLint(program: Command, cli: Cli): void {
  program
    .command('lint')
    .description('check pipelines (names, types, expressions, fields, vectors) and named queries')
    .argument('[files...]', 'files of pipelines and queries (default: those of the runtime)')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('millrace lint', 'millrace lint pipelines/support-tickets.yaml --json'))
    .action(async (files: string[], { json = false }: LintOptions, command: Command) => {
      const { openProject, lintProject, printProblems } = await import('../project.ts')
      const { lintQueries } = await import('../query-files.ts')
      const options: GlobalOptions = command.optsWithGlobals()
      const named = await sorted(cli, options, files)
      const onlyQueries = files.length > 0 && named.pipelines.length === 0
      const project = onlyQueries ? undefined : await openProject(cli, options, named.pipelines)
      const pipelines = project && (await lintProject(project))
      const queries = await lintQueries(named.queries, cli.folder)

      const problems = [...(pipelines?.problems ?? []), ...queries.problems]
      const errors = problems.filter(({ severity }) => severity === 'error').length
      const pipelineCount = project?.files.length ?? 0
      const queryCount = named.queries.length
      if (json) cli.terminal.json({ files: pipelineCount + queryCount, errors, problems })
      else {
        printProblems(problems, new Map([...(pipelines?.texts ?? []), ...queries.texts]), cli.terminal)
        const good = (pipelines?.specs.length ?? 0) + queries.queries.length
        cli.terminal.print(summary(amounts(pipelineCount, queryCount), good, errors, problems.length - errors))
      }
      if (errors > 0) throw new CommandFailed()
    })
}

/** The files by what they are: queries are those that the runtime's globs find. */
async function sorted(cli: Cli, options: GlobalOptions, files: readonly string[]) {
  const { openRuntime } = await import('../runtime.ts')
  const { findQueryFiles } = await import('../query-files.ts')
  const queries = await findQueryFiles(await openRuntime(cli, options))
  if (files.length === 0) return { pipelines: [], queries }
  const isQuery = (file: string) => queries.includes(resolve(cli.folder, file))
  return {
    pipelines: files.filter((file) => !isQuery(file)),
    queries: files.filter(isQuery).map((file) => resolve(cli.folder, file)),
  }
}

function amounts(pipelines: number, queries: number): string {
  const counts = [
    ...(pipelines > 0 ? [formatAmount(pipelines, 'pipeline')] : []),
    ...(queries > 0 ? [formatAmount(queries, 'query', 'queries')] : []),
  ]
  return counts.join(' and ')
}

function summary(checked: string, good: number, errors: number, warnings: number): string {
  if (errors === 0 && warnings === 0) return `${checked} checked, no problem found`
  return `${checked} checked, ${good} good: ${formatAmount(errors, 'error')}, ${formatAmount(warnings, 'warning')}`
}
