import { Command } from 'commander'
import { type Cli, examples } from './cli.ts'
import { addDlq } from './commands/dlq.ts'
import { addDoctor } from './commands/doctor.ts'
import { addInit } from './commands/init.ts'
import { addLint } from './commands/lint.ts'
import { addList } from './commands/list.ts'
import { addMigrate } from './commands/migrate.ts'
import { addPipelines } from './commands/pipelines.ts'
import { addPublish } from './commands/publish.ts'
import { addQuery } from './commands/query.ts'
import { addRun } from './commands/run.ts'
import { addSchema } from './commands/schema.ts'
import { addSearch } from './commands/search.ts'
import { addTap } from './commands/tap.ts'
import { addTest } from './commands/test.ts'
import { addTopics } from './commands/topics.ts'
import { packageVersion } from './package.ts'

/** The whole command line. Throws `CommanderError` for wrong usage and for help, once it is printed. */
export function createProgram(cli: Cli): Command {
  const program = new Command('millrace')
    .description('Streaming pipelines in YAML: events are embedded, stored, searchable and live.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print the help of a command')
    .option('--config <file>', 'the runtime file (default: millrace.yaml, if it is there)')
    .option('--data <folder>', 'the data folder (default: data, or what the runtime file says)')
    .option('--verbose', 'print the stack of an error')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => cli.terminal.print(text.trimEnd()),
      writeErr: (text) => cli.terminal.note(text.trimEnd()),
      outputError: (text, write) => write(text.replace(/^error: /, `${cli.terminal.style('red', 'error:')} `)),
    })
    .exitOverride()
    .addHelpText('after', examples('millrace init reviews', 'millrace run', 'millrace help publish'))

  for (const add of [
    addRun,
    addLint,
    addTest,
    addPublish,
    addTap,
    addSearch,
    addQuery,
    addTopics,
    addPipelines,
    addDlq,
    addMigrate,
    addList,
    addInit,
    addDoctor,
    addSchema,
  ]) {
    add(program, cli)
  }
  return program
}
