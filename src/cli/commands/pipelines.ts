import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { z } from 'zod'
import { errorMessage, InvalidInput } from '../../core/errors.ts'
import { call, callRaw } from '../api.ts'
import { type Cli, type DataOptions, examples, refuseUnknownCommand } from '../cli.ts'
import { formatCount, printTable } from '../table.ts'
import { dataOptions, openTarget } from '../target.ts'
import type { Style } from '../terminal.ts'

const status = z.looseObject({
  name: z.string(),
  state: z.string(),
  reason: z.string().optional(),
  source: z.array(z.string()),
  sinks: z.array(z.string()),
  lag: z.number(),
  rate: z.number(),
  totals: z.object({ read: z.number(), written: z.number(), dropped: z.number(), deadLettered: z.number() }),
  latency: z.object({ p50: z.number(), p99: z.number() }).optional(),
})
type Status = z.infer<typeof status>
const list = z.object({ pipelines: z.array(status) })

export function addPipelines(program: Command, cli: Cli): void {
  const group = program
    .command('pipelines')
    .description('list and control running pipelines')
    .addHelpText(
      'after',
      examples('millrace pipelines', 'millrace pipelines pause support-tickets', 'millrace pipelines put reviews.yaml'),
    )

  dataOptions(group.command('list', { isDefault: true }))
    .description('list the running pipelines')
    .allowExcessArguments()
    .addHelpText('after', examples('millrace pipelines', 'millrace pipelines --json'))
    .action(async (_options: DataOptions, command: Command) => {
      const options: DataOptions = command.optsWithGlobals()
      refuseUnknownCommand(command)
      await using target = await openTarget(options, cli)
      const answer = await call(target, '/v1/pipelines', list)
      if (options.json) cli.terminal.json(answer)
      else printStatuses(cli, answer.pipelines)
    })

  for (const change of ['pause', 'resume'] as const) {
    dataOptions(group.command(change))
      .description(
        change === 'pause' ? 'finish what was read, then read no more' : 'go on where it was paused or failed',
      )
      .argument('<pipeline>', 'the pipeline')
      .addHelpText('after', examples(`millrace pipelines ${change} support-tickets`))
      .action(async (name: string, _options: DataOptions, command: Command) => {
        const options: DataOptions = command.optsWithGlobals()
        await using target = await openTarget(options, cli)
        report(cli, options, await call(target, `${pathOf(name)}/${change}`, status, { method: 'POST' }))
      })
  }

  dataOptions(group.command('put'))
    .description('start a pipeline, or replace the one of its name')
    .argument('<file>', 'the pipeline file')
    .addHelpText('after', examples('millrace pipelines put pipelines/reviews.yaml'))
    .action(async (file: string, _options: DataOptions, command: Command) => {
      const options: DataOptions = command.optsWithGlobals()
      const text = await readFile(resolve(cli.folder, file), 'utf8').catch((error: unknown) => {
        throw new InvalidInput({ code: 'file_not_found', message: `${file} cannot be read: ${errorMessage(error)}` })
      })
      await using target = await openTarget(options, cli)
      const init = { method: 'PUT', headers: { 'content-type': 'application/yaml' }, body: text }
      report(cli, options, await call(target, pathOf(await nameIn(text, file)), status, init))
    })

  dataOptions(group.command('delete'))
    .description('stop a pipeline and forget it; its data stays')
    .argument('<pipeline>', 'the pipeline')
    .addHelpText('after', examples('millrace pipelines delete reviews'))
    .action(async (name: string, _options: DataOptions, command: Command) => {
      const options: DataOptions = command.optsWithGlobals()
      await using target = await openTarget(options, cli)
      await callRaw(target, pathOf(name), { method: 'DELETE' })
      if (options.json) cli.terminal.json({ deleted: name })
      else cli.terminal.print(`${name} is deleted`)
    })
}

function pathOf(name: string): string {
  return `/v1/pipelines/${encodeURIComponent(name)}`
}

/** The API wants the name in the address; the server checks everything else. */
async function nameIn(text: string, file: string): Promise<string> {
  const { parse } = await import('yaml')
  try {
    return z.object({ name: z.string() }).parse(parse(text)).name
  } catch (error) {
    const message = `${file} has no name: ${errorMessage(error)}`
    throw new InvalidInput({ code: 'invalid_pipeline', message, hint: `millrace lint ${file} says more` })
  }
}

function report(cli: Cli, { json = false }: DataOptions, changed: Status): void {
  if (json) cli.terminal.json(changed)
  else cli.terminal.print(`${changed.name} is ${changed.state}`)
}

const styles: Readonly<Record<string, Style>> = { running: 'green', degraded: 'yellow', failed: 'red', paused: 'dim' }

function printStatuses({ terminal }: Cli, all: readonly Status[]): void {
  if (all.length === 0) {
    terminal.note('no pipelines are running; millrace run starts them')
    return
  }
  const numbers = ['EVENTS/S', 'LAG', 'READ', 'WRITTEN', 'DROPPED', 'DEAD', 'P99 MS'].map((title) => ({
    title,
    right: true,
  }))
  const rows = all.map(({ name, state, rate, lag, totals, latency }) => [
    name,
    state,
    ...[rate, lag, totals.read, totals.written, totals.dropped, totals.deadLettered].map(formatCount),
    latency === undefined ? '' : formatCount(latency.p99),
  ])
  printTable(terminal, [{ title: 'PIPELINE' }, { title: 'STATE' }, ...numbers], rows)
  for (const { name, state, reason } of all) {
    if (reason !== undefined) terminal.note(`${name} is ${terminal.style(styles[state] ?? 'bold', state)}: ${reason}`)
  }
}
