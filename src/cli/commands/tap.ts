import type { Command } from 'commander'
import { z } from 'zod'
import { MillraceError } from '../../core/errors.ts'
import { didYouMean } from '../../core/nearest.ts'
import { ApiError, call, callRaw, type Target } from '../api.ts'
import { type Cli, type DataOptions, examples, wholeNumber } from '../cli.ts'
import { WrongUsage } from '../failure.ts'
import { serverSentEvents } from '../sse.ts'
import { dataOptions, openTarget } from '../target.ts'
import type { Terminal } from '../terminal.ts'

interface TapOptions extends DataOptions {
  readonly live?: boolean
  readonly last?: number
  readonly filter?: string
}

const topicEvent = z.looseObject({
  partition: z.number(),
  offset: z.number(),
  timestamp: z.number(),
  key: z.string().nullable(),
  value: z.unknown(),
  error: z.string().optional(),
})
const liveEvent = z.looseObject({
  offset: z.number(),
  time: z.number(),
  key: z.string().nullable(),
  value: z.unknown(),
})
const gap = z.looseObject({ from: z.number(), to: z.number(), reason: z.string() })
const channels = z.object({ channels: z.array(z.looseObject({ name: z.string() })) })

export function addTap(program: Command, cli: Cli): void {
  dataOptions(program.command('tap'))
    .description('follow a topic or a live channel')
    .argument('<name>', 'a topic, or a channel if there is no such topic')
    .option('--live', 'follow the channel even if a topic has the same name')
    .option('--last <n>', 'begin with the newest n events', wholeNumber(0))
    .option('--filter <expression>', 'of a channel, only the events for which this holds')
    .addHelpText(
      'after',
      examples(
        'millrace tap support.tickets --last 10',
        `millrace tap tickets --filter "value.category == 'billing'"`,
        'millrace tap tickets --json | jq .value.subject',
      ),
    )
    .action(async (name: string, _options: TapOptions, command: Command) => {
      const options: TapOptions = command.optsWithGlobals()
      const { first } = cli.interruption()
      await using target = await openTarget(options, cli)
      try {
        await follow(target, name, options, cli.terminal, first)
      } catch (error) {
        // Ctrl-C is how this command ends.
        if (!first.aborted) throw error
      }
    })
}

async function follow(
  target: Target,
  name: string,
  options: TapOptions,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<void> {
  const topic = options.live ? undefined : await openTopic(target, name, options, signal)
  if (topic !== undefined && options.filter !== undefined) {
    await topic.body?.cancel()
    const message = `--filter works on live channels, and ${name} is a topic`
    throw new WrongUsage(message, `follow the channel with --live`)
  }
  const { body } = topic ?? (await openChannel(target, name, options, signal))
  if (body === null) return
  if (topic === undefined) await warnIfUnknown(target, name, terminal)
  // The body of an answer that never crossed a network does not know the request's signal.
  const stream = body.pipeThrough(new TransformStream<Uint8Array, Uint8Array>(), { signal })
  for await (const { type, data } of untilEnded(serverSentEvents(stream), target.where)) {
    const json: unknown = JSON.parse(data)
    if (options.json && type === 'message') terminal.json(json)
    else if (topic !== undefined) printTopicEvent(terminal, json)
    else if (type === 'gap') printGap(terminal, json)
    else if (type === 'message') printLiveEvent(terminal, json)
  }
}

/** A stream has no end of its own: whether the server closes it or the connection breaks, that is an error. */
async function* untilEnded<T>(events: AsyncIterable<T>, where: string): AsyncGenerator<T> {
  let cause: unknown
  try {
    yield* events
  } catch (error) {
    cause = error
  }
  const message = `${where} has ended the stream`
  throw new MillraceError({ code: 'stream_ended', message, hint: 'is it still running? tap again to go on', cause })
}

/** The stream of a topic, or undefined when there is none of that name. */
async function openTopic(
  target: Target,
  name: string,
  { last = 0 }: TapOptions,
  signal: AbortSignal,
): Promise<Response | undefined> {
  try {
    return await callRaw(target, `/v1/topics/${encodeURIComponent(name)}/tail?last=${last}`, { signal })
  } catch (error) {
    if (error instanceof ApiError && error.code === 'topic_not_found') return undefined
    throw error
  }
}

function openChannel(
  target: Target,
  name: string,
  { last, filter }: TapOptions,
  signal: AbortSignal,
): Promise<Response> {
  const query = new URLSearchParams()
  if (last !== undefined && last > 0) query.set('last', String(last))
  if (filter !== undefined) query.set('filter', filter)
  return callRaw(target, `/v1/live/${encodeURIComponent(name)}?${query}`, { signal })
}

/** A channel comes into being with its first event, so a name that nobody knows may be early as well as wrong. */
async function warnIfUnknown(target: Target, name: string, terminal: Terminal): Promise<void> {
  const { channels: known } = await call(target, '/v1/channels', channels)
  const names = known.map((channel) => channel.name)
  if (names.includes(name)) return
  terminal.note(`there is no topic or channel "${name}" yet${didYouMean(name, names)}; waiting for it`)
}

function printTopicEvent(terminal: Terminal, json: unknown): void {
  const { partition, offset, timestamp, key, value, error } = topicEvent.parse(json)
  const place = terminal.style('dim', `${clock(timestamp)} ${partition}/${offset}`)
  const shown = error === undefined ? JSON.stringify(value) : terminal.style('red', error)
  terminal.print(`${place} ${keyOf(terminal, key)}${shown}`)
}

function printLiveEvent(terminal: Terminal, json: unknown): void {
  const { offset, time, key, value } = liveEvent.parse(json)
  const place = terminal.style('dim', `${clock(time)} ${offset}`)
  terminal.print(`${place} ${keyOf(terminal, key)}${JSON.stringify(value)}`)
}

function printGap(terminal: Terminal, json: unknown): void {
  const { from, to, reason } = gap.parse(json)
  terminal.note(terminal.style('yellow', `left out ${from} to ${to}: ${reason}`))
}

function keyOf(terminal: Terminal, key: string | null): string {
  return key === null ? '' : `${terminal.style('cyan', key)} `
}

function clock(milliseconds: number): string {
  return new Date(milliseconds).toISOString().slice(11, 23)
}
