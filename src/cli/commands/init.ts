import { mkdir, writeFile } from 'node:fs/promises'
import { basename, join, relative } from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import { errorCode, InvalidInput } from '../../core/errors.ts'
import { type Cli, examples } from '../cli.ts'
import { writeSchema } from '../schema-file.ts'

export function addInit(program: Command, cli: Cli): void {
  program
    .command('init')
    .description('write a pipeline to start from')
    .argument('[name]', "the pipeline's name (default: the folder's)", pipelineName)
    .addHelpText('after', examples('millrace init', 'millrace init reviews'))
    .action(async (given: string | undefined) => {
      const name = given ?? folderName(cli.folder)
      const file = join(cli.folder, 'pipelines', `${name}.yaml`)
      await mkdir(join(cli.folder, 'pipelines'), { recursive: true })
      await writeFile(file, starter(name), { flag: 'wx' }).catch((error: unknown) => {
        if (errorCode(error) !== 'EEXIST') throw error
        const message = `${shown(cli, file)} is there already`
        throw new InvalidInput({ code: 'file_exists', message, hint: 'millrace init NAME writes another one' })
      })
      const schema = await writeSchema(cli.folder)
      const { terminal } = cli
      terminal.print(`wrote ${shown(cli, file)} and ${shown(cli, schema)}`)
      terminal.print()
      terminal.print('Next:')
      terminal.print('  millrace test')
      terminal.print('  millrace run')
      terminal.print(`  millrace publish ${name} '{"text": "hello"}'      (in another terminal)`)
      terminal.print(`  millrace search ${name} greeting`)
    })
}

const namePattern = /^[a-z0-9][a-z0-9-]{0,62}$/

function pipelineName(text: string): string {
  if (!namePattern.test(text)) throw new InvalidArgumentError('Use lower-case letters, digits and "-", 63 at most.')
  return text
}

function folderName(folder: string): string {
  const name = basename(folder)
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 63)
  return namePattern.test(name) ? name : 'events'
}

function shown(cli: Cli, file: string): string {
  return relative(cli.folder, file)
}

function starter(name: string): string {
  return `# yaml-language-server: $schema=../schemas/pipeline.schema.json
name: ${name}

# Where events come from. \`millrace list\` shows every source, processor and sink.
source:
  topic: ${name}

# What happens to each event, in order. Expressions are CEL.
processors:
  - filter: has(value.text) && size(value.text) > 0
  - embed: { text: value.text, as: meaning }

# Where events go. Names are of collections and channels, never of servers.
sinks:
  - vectors: { collection: ${name}, vector: meaning, fields: [text] }
  - live: { channel: ${name} }

# Run by \`millrace test\`.
tests:
  - name: an event without text is dropped
    given:
      - value: { text: "" }
      - value: { text: hello }
    expect:
      live.${name}:
        - value: { text: hello }
`
}
