import type { Command } from 'commander'
import type { AnyDefinition } from '../../core/component.ts'
import { NotFound } from '../../core/errors.ts'
import { didYouMean } from '../../core/nearest.ts'
import { type Cli, examples } from '../cli.ts'
import type { OptionReference } from '../reference.ts'
import { printTable } from '../table.ts'
import type { Terminal } from '../terminal.ts'

export function addList(program: Command, cli: Cli): void {
  program
    .command('list')
    .description('list the sources, processors and sinks, or explain one')
    .argument('[component]', 'a component, such as embed')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('millrace list', 'millrace list embed'))
    .action(async (name: string | undefined, { json = false }: { json?: boolean }) => {
      const { catalog } = await import('../catalog.ts')
      const { optionReferences } = await import('../reference.ts')
      const definitions = [
        ...catalog.sources.values(),
        ...catalog.processors.values(),
        ...catalog.sinks.values(),
      ] satisfies AnyDefinition[]
      const chosen = name === undefined ? definitions : definitions.filter((definition) => definition.name === name)
      if (name !== undefined && chosen.length === 0) throw unknownComponent(name, definitions)

      if (json) {
        const reference = chosen.map(({ kind, name, summary, example, main, options }) => {
          return { kind, name, summary, main, example, options: optionReferences(options) }
        })
        cli.terminal.json(reference)
      } else if (name === undefined) printOverview(cli.terminal, definitions)
      else
        for (const definition of chosen) printComponent(cli.terminal, definition, optionReferences(definition.options))
    })
}

function unknownComponent(name: string, definitions: readonly AnyDefinition[]): NotFound {
  const known = definitions.map((definition) => definition.name)
  return new NotFound({
    code: 'component_not_found',
    message: `there is no component "${name}"${didYouMean(name, known)}`,
    hint: 'millrace list shows them all',
  })
}

function printOverview(terminal: Terminal, definitions: readonly AnyDefinition[]): void {
  const rows = definitions.map(({ kind, name, summary }) => [kind, name, summary])
  printTable(terminal, [{ title: 'KIND' }, { title: 'NAME' }, { title: 'DOES' }], rows)
  terminal.print()
  terminal.print('millrace list NAME shows the options and an example.')
}

function printComponent(terminal: Terminal, definition: AnyDefinition, options: readonly OptionReference[]): void {
  terminal.print(`${terminal.style('bold', definition.name)} (${definition.kind}): ${definition.summary}`)
  terminal.print()
  for (const option of options) {
    const given = option.default === undefined ? '' : `, default ${option.default}`
    const need = option.required ? ', required' : given
    const main = option.name === definition.main ? ', may stand alone' : ''
    terminal.print(`  ${terminal.style('bold', option.name)}  ${terminal.style('dim', `${option.type}${need}${main}`)}`)
    if (option.description !== '') terminal.print(`      ${option.description}`)
  }
  terminal.print()
  terminal.print('Example:')
  for (const line of definition.example.trimEnd().split('\n')) terminal.print(`  ${line}`)
  terminal.print()
}
