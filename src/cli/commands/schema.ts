import { relative } from 'node:path'
import type { Command } from 'commander'
import { type Cli, examples } from '../cli.ts'
import { schemaText, writeSchema } from '../schema-file.ts'

export function addSchema(program: Command, cli: Cli): void {
  program
    .command('schema')
    .description('print the JSON Schema of pipeline files, for editors')
    .option('--write', 'write it to schemas/pipeline.schema.json')
    .addHelpText('after', examples('millrace schema > pipeline.schema.json', 'millrace schema --write'))
    .action(async ({ write = false }: { write?: boolean }) => {
      if (write) cli.terminal.print(`wrote ${relative(cli.folder, await writeSchema(cli.folder))}`)
      else cli.terminal.print((await schemaText()).trimEnd())
    })
}
