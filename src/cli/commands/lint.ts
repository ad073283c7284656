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
    .description('check pipeline files: names, types, expressions, fields and vectors')
    .argument('[files...]', 'pipeline files (default: those of the runtime)')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('millrace lint', 'millrace lint pipelines/support-tickets.yaml --json'))
    .action(async (files: string[], { json = false }: LintOptions, command: Command) => {
      const { openProject, lintProject, printProblems } = await import('../project.ts')
      const project = await openProject(cli, command.optsWithGlobals(), files)
      const { problems, specs, texts } = await lintProject(project)
      const errors = problems.filter(({ severity }) => severity === 'error').length
      if (json) cli.terminal.json({ files: project.files.length, errors, problems })
      else {
        printProblems(problems, texts, cli.terminal)
        cli.terminal.print(summary(project.files.length, specs.length, errors, problems.length - errors))
      }
      if (errors > 0) throw new CommandFailed()
    })
}

function summary(files: number, good: number, errors: number, warnings: number): string {
  if (errors === 0 && warnings === 0) return `${formatAmount(files, 'pipeline')} checked, no problem found`
  return `${formatAmount(files, 'pipeline')} checked, ${good} good: ${formatAmount(errors, 'error')}, ${formatAmount(warnings, 'warning')}`
}
