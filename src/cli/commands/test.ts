import type { Command } from 'commander'
import type { PipelineSpec } from '../../core/pipeline.ts'
import { type Cli, examples, type GlobalOptions } from '../cli.ts'
import { CommandFailed } from '../failure.ts'
import type { PipelineTestRunner, TestResult } from '../pipeline-tests.ts'

interface TestOptions extends GlobalOptions {
  readonly json?: boolean
}

interface FileResult {
  readonly file: string
  readonly tests: readonly TestResult[]
}

export function addTest(program: Command, cli: Cli): void {
  program
    .command('test')
    .description('run the tests in pipeline files, with real processors and embedded sinks')
    .argument('[files...]', 'pipeline files (default: those of the runtime)')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('millrace test', 'millrace test pipelines/support-tickets.yaml'))
    .action(async (files: string[], { json = false }: TestOptions, command: Command) => {
      const { openProject, readPipelines } = await import('../project.ts')
      const { openTestRunner } = await import('../test-services.ts')
      const { downloadReport } = await import('../download-report.ts')
      const project = await openProject(cli, command.optsWithGlobals(), files)
      const specs = await readPipelines(project, cli.terminal)
      const runner = await openTestRunner(project, downloadReport(cli.terminal))
      try {
        const results = await runAll(runner, specs, cli, json)
        const all = results.flatMap(({ tests }) => tests)
        const failed = all.filter(({ differences }) => differences.length > 0).length
        const passed = all.length - failed
        if (json) cli.terminal.json({ passed, failed, files: results })
        else cli.terminal.print(summary(cli, passed, failed))
        if (failed > 0) throw new CommandFailed()
      } finally {
        await runner.close()
      }
    })
}

async function runAll(
  runner: PipelineTestRunner,
  specs: readonly PipelineSpec[],
  cli: Cli,
  quiet: boolean,
): Promise<FileResult[]> {
  const results: FileResult[] = []
  for (const spec of specs) {
    if (spec.tests.length === 0) continue
    const tests: TestResult[] = []
    if (!quiet) cli.terminal.print(cli.terminal.style('bold', spec.file))
    for (const test of spec.tests) {
      if (!quiet) cli.terminal.progress(`  … ${test.name}`)
      const result = await runner.run(spec, test)
      tests.push(result)
      if (!quiet) printResult(cli, result)
    }
    results.push({ file: spec.file, tests })
  }
  return results
}

function printResult({ terminal }: Cli, { name, took, differences }: TestResult): void {
  const passed = differences.length === 0
  const mark = passed ? terminal.style('green', '✓') : terminal.style('red', '✗')
  terminal.print(`  ${mark} ${name} ${terminal.style('dim', `(${Math.round(took)} ms)`)}`)
  for (const { path, message } of differences) {
    terminal.print(`      ${path === '' ? '' : `${terminal.style('cyan', path)}: `}${message}`)
  }
}

function summary({ terminal }: Cli, passed: number, failed: number): string {
  if (passed + failed === 0) return 'no tests: add some under `tests:` in a pipeline file'
  const failures = failed === 0 ? `${failed} failed` : terminal.style('red', `${failed} failed`)
  return `${passed} passed, ${failures}`
}
