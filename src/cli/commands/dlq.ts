import type { Command } from 'commander'
import { z } from 'zod'
import { call } from '../api.ts'
import { type Cli, type DataOptions, examples, refuseUnknownCommand, wholeNumber } from '../cli.ts'
import { formatBytes, formatCount, printTable } from '../table.ts'
import { dataOptions, openTarget } from '../target.ts'

const suffix = '.dlq'
const defaultShown = 20

const topics = z.object({
  topics: z.array(z.looseObject({ name: z.string(), records: z.number(), bytes: z.number() })),
})
const events = z.object({
  events: z.array(
    z.looseObject({
      timestamp: z.number(),
      key: z.string().nullable(),
      value: z.unknown(),
      headers: z.record(z.string(), z.string()),
      error: z.string().optional(),
    }),
  ),
})
type DeadLetter = z.infer<typeof events>['events'][number]

interface ShowOptions extends DataOptions {
  readonly last: number
}

export function addDlq(program: Command, cli: Cli): void {
  const group = program
    .command('dlq')
    .description('look at dead letters: events that could not be accepted')
    .addHelpText('after', examples('millrace dlq', 'millrace dlq show support-tickets --last 5'))

  dataOptions(group.command('list', { isDefault: true }))
    .description('count the dead letters of each pipeline')
    .allowExcessArguments()
    .addHelpText('after', examples('millrace dlq'))
    .action(async (_options: DataOptions, command: Command) => {
      const options: DataOptions = command.optsWithGlobals()
      refuseUnknownCommand(command)
      await using target = await openTarget(options, cli)
      const all = (await call(target, '/v1/topics', topics)).topics
      const queues = all
        .filter(({ name }) => name.endsWith(suffix))
        .map(({ name, records, bytes }) => ({ pipeline: name.slice(0, -suffix.length), records, bytes }))
      if (options.json) cli.terminal.json({ queues })
      else if (queues.length === 0) cli.terminal.note('no pipeline has run yet')
      else {
        const titles = [{ title: 'PIPELINE' }, { title: 'DEAD LETTERS', right: true }, { title: 'SIZE', right: true }]
        const rows = queues.map(({ pipeline, records, bytes }) => [pipeline, formatCount(records), formatBytes(bytes)])
        printTable(cli.terminal, titles, rows)
      }
    })

  dataOptions(group.command('show'))
    .description('show the newest dead letters of a pipeline, and why they are that')
    .argument('<pipeline>', 'the pipeline')
    .option('--last <n>', 'how many', wholeNumber(1), defaultShown)
    .addHelpText('after', examples('millrace dlq show support-tickets --last 5', 'millrace dlq show docs --json'))
    .action(async (pipeline: string, _options: ShowOptions, command: Command) => {
      const options: ShowOptions = command.optsWithGlobals()
      await using target = await openTarget(options, cli)
      const path = `/v1/topics/${encodeURIComponent(pipeline + suffix)}/events?limit=${options.last}`
      const answer = await call(target, path, events)
      if (options.json) cli.terminal.json(answer)
      else if (answer.events.length === 0) cli.terminal.note(`${pipeline} has no dead letters`)
      else for (const letter of answer.events) printLetter(cli, letter)
    })
}

function printLetter({ terminal }: Cli, { timestamp, key, value, headers, error }: DeadLetter): void {
  const about = (name: string) => headers[`millrace-${name}`] ?? '?'
  const place = `${about('topic')}/${about('partition')}/${about('offset')}`
  terminal.print(`${terminal.style('red', about('code'))} in ${about('component')}: ${about('message')}`)
  const shownKey = key === null ? '' : `, key ${key}`
  terminal.print(terminal.style('dim', `  ${place}, ${new Date(timestamp).toISOString()}${shownKey}`))
  terminal.print(`  ${error ?? JSON.stringify(value)}`)
}
