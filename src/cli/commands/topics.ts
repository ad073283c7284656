import type { Command } from 'commander'
import { z } from 'zod'
import { call, jsonBody } from '../api.ts'
import { type Cli, type DataOptions, examples, refuseUnknownCommand, wholeNumber } from '../cli.ts'
import { formatAmount, formatBytes, formatCount, printTable } from '../table.ts'
import { dataOptions, openTarget } from '../target.ts'

const topic = z.looseObject({
  name: z.string(),
  partitions: z.array(
    z.object({
      partition: z.number(),
      start: z.number(),
      end: z.number(),
      records: z.number(),
      bytes: z.number(),
    }),
  ),
  records: z.number(),
  bytes: z.number(),
  rate: z.number(),
  config: z.object({ retentionMs: z.number(), retentionBytes: z.number(), compact: z.boolean() }),
  format: z.string(),
  schema: z.unknown().optional(),
})
type Topic = z.infer<typeof topic>
const topics = z.object({ topics: z.array(topic) })

interface CreateOptions extends DataOptions {
  readonly partitions?: number
  readonly retention?: string
  readonly compact?: boolean
}

export function addTopics(program: Command, cli: Cli): void {
  const group = program
    .command('topics')
    .description('list, describe and create topics')
    .addHelpText(
      'after',
      examples(
        'millrace topics',
        'millrace topics describe support.tickets',
        'millrace topics create orders --partitions 8',
      ),
    )

  dataOptions(group.command('list', { isDefault: true }))
    .description('list the topics')
    .allowExcessArguments()
    .addHelpText('after', examples('millrace topics', 'millrace topics list --json'))
    .action(async (_options: DataOptions, command: Command) => {
      const options: DataOptions = command.optsWithGlobals()
      refuseUnknownCommand(command)
      await using target = await openTarget(options, cli)
      const answer = await call(target, '/v1/topics', topics)
      if (options.json) cli.terminal.json(answer)
      else printTopics(cli, answer.topics)
    })

  dataOptions(group.command('describe'))
    .description('show the partitions, settings and schema of a topic')
    .argument('<topic>', 'the topic')
    .addHelpText('after', examples('millrace topics describe support.tickets'))
    .action(async (name: string, _options: DataOptions, command: Command) => {
      const options: DataOptions = command.optsWithGlobals()
      await using target = await openTarget(options, cli)
      const answer = await call(target, `/v1/topics/${encodeURIComponent(name)}`, topic)
      if (options.json) cli.terminal.json(answer)
      else printTopic(cli, answer)
    })

  dataOptions(group.command('create'))
    .description('create a topic, or change the settings of one')
    .argument('<topic>', 'its name')
    .option('--partitions <n>', 'how many partitions; they can grow, never shrink', wholeNumber(1))
    .option('--retention <duration>', 'events older than this may be dropped, such as 7d')
    .option('--compact', 'keep only the newest event of each key')
    .addHelpText('after', examples('millrace topics create orders --partitions 8 --retention 30d'))
    .action(async (name: string, _options: CreateOptions, command: Command) => {
      const options: CreateOptions = command.optsWithGlobals()
      await using target = await openTarget(options, cli)
      const { partitions, retention, compact } = options
      const answer = await call(target, '/v1/topics', topic, jsonBody('POST', { name, partitions, retention, compact }))
      if (options.json) cli.terminal.json(answer)
      else cli.terminal.print(`${name} is there, with ${formatAmount(answer.partitions.length, 'partition')}`)
    })
}

const right = true

function printTopics({ terminal }: Cli, all: readonly Topic[]): void {
  if (all.length === 0) {
    terminal.note('no topics yet: a pipeline that runs makes those it reads')
    return
  }
  const titles = ['PARTITIONS', 'EVENTS', 'SIZE', 'EVENTS/S'].map((title) => ({ title, right }))
  const rows = all.map(({ name, partitions, records, bytes, rate }) => [
    name,
    String(partitions.length),
    formatCount(records),
    formatBytes(bytes),
    formatCount(rate),
  ])
  printTable(terminal, [{ title: 'TOPIC' }, ...titles], rows)
}

function printTopic({ terminal }: Cli, { name, partitions, config, format, schema }: Topic): void {
  const keeps = config.retentionMs === 0 ? 'for ever' : `for ${config.retentionMs / 3_600_000} h`
  const size = config.retentionBytes === 0 ? '' : `, at most ${formatBytes(config.retentionBytes)} a partition`
  terminal.print(
    `${terminal.style('bold', name)}: ${format}, kept ${keeps}${size}${config.compact ? ', compacted' : ''}`,
  )
  terminal.print()
  const titles = ['PARTITION', 'FIRST', 'NEXT', 'EVENTS', 'SIZE'].map((title) => ({ title, right }))
  const rows = partitions.map(({ partition, start, end, records, bytes }) => {
    return [String(partition), String(start), String(end), formatCount(records), formatBytes(bytes)]
  })
  printTable(terminal, titles, rows)
  if (schema === undefined) return
  terminal.print()
  terminal.print('Schema:')
  terminal.print(JSON.stringify(schema, null, 2))
}
