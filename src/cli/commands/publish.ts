import { open } from 'node:fs/promises'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { type Command, InvalidArgumentError } from 'commander'
import { z } from 'zod'
import { errorMessage, InvalidInput, MillraceError } from '../../core/errors.ts'
import { ApiError, call, type Target } from '../api.ts'
import { type Cli, type DataOptions, examples } from '../cli.ts'
import { WrongUsage } from '../failure.ts'
import { formatAmount, formatCount } from '../table.ts'
import { dataOptions, openTarget } from '../target.ts'

const answer = z.object({
  accepted: z.number(),
  positions: z.array(z.object({ topic: z.string(), partition: z.number(), offset: z.number() })),
})

interface PublishOptions extends DataOptions {
  readonly file?: string
  readonly key?: string
}

/** One event as JSON text, and where it stands, for messages. */
interface Line {
  readonly json: string
  readonly where: string
}

/** What goes into one request: large enough to be fast, small enough to be accepted. */
const requestEvents = 1_000
const requestCharacters = 1_000_000
const shownErrors = 5

export function addPublish(program: Command, cli: Cli): void {
  dataOptions(program.command('publish'))
    .description('append events to a topic')
    .argument('<topic>', 'the topic')
    .argument('[json...]', 'events as JSON; without any, lines of JSON are read from the standard input')
    .option('--file <file>', 'read the events from a file, one JSON value per line')
    .option('--key <pointer>', "where each event's key stands in its value, such as /customer/id", pointer)
    .addHelpText(
      'after',
      examples(
        `millrace publish support.tickets '{"subject": "hi", "body": "charged twice", "customer": {"id": 7}}'`,
        'millrace publish support.tickets --file tickets.ndjson --key /customer/id',
        'cat tickets.ndjson | millrace publish support.tickets',
      ),
    )
    .action(async (topic: string, events: string[], options: PublishOptions, command: Command) => {
      const lines = eventLines(cli, events, options.file)
      await using target = await openTarget(command.optsWithGlobals(), cli)
      const positions = []
      let accepted = 0
      for await (const batch of batches(lines)) {
        const result = await publish(target, topic, options.key, batch).catch((error: unknown) => {
          throw explain(error, topic, accepted, batch)
        })
        accepted += result.accepted
        // Only --json shows them, and they would grow with the input.
        if (options.json) positions.push(...result.positions)
        cli.terminal.progress(`${formatAmount(accepted, 'event')} accepted`)
      }
      if (options.json) cli.terminal.json({ accepted, positions })
      else cli.terminal.print(`${formatAmount(accepted, 'event')} accepted by ${topic}`)
    })
}

function pointer(text: string): string {
  if (!text.startsWith('/')) throw new InvalidArgumentError('Write a JSON pointer, such as /customer/id.')
  return text
}

function eventLines(
  cli: Cli,
  events: readonly string[],
  file: string | undefined,
): AsyncIterable<Line> | Iterable<Line> {
  if (events.length > 0 && file !== undefined) throw new WrongUsage('give events or --file, not both')
  if (events.length > 0) {
    return events.map((text, index) => ({ json: oneJsonLine(text, `event ${index + 1}`), where: `event ${index + 1}` }))
  }
  if (file !== undefined) return fileLines(resolve(cli.folder, file), file)
  if (process.stdin.isTTY) {
    throw new WrongUsage('no events', 'give them as arguments, with --file, or pipe them in, one JSON value per line')
  }
  return readLines(process.stdin, 'standard input')
}

async function* fileLines(path: string, name: string): AsyncGenerator<Line> {
  const handle = await open(path).catch((error: unknown) => {
    throw unreadable(name, error)
  })
  yield* readLines(handle.createReadStream(), name)
}

async function* readLines(input: Readable, name: string): AsyncGenerator<Line> {
  let number = 0
  // readline alone would swallow an error of its input.
  const failed = new Promise<never>((_, reject) => input.once('error', reject))
  failed.catch(() => {})
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })[Symbol.asyncIterator]()
  for (;;) {
    const next = await Promise.race([lines.next(), failed]).catch((error: unknown) => {
      throw unreadable(name, error)
    })
    if (next.done) return
    number += 1
    if (next.value.trim() === '') continue
    const where = `${name}, line ${number}`
    yield { json: oneJsonLine(next.value, where), where }
  }
}

function unreadable(name: string, error: unknown): InvalidInput {
  return new InvalidInput({ code: 'file_unreadable', message: `${name} cannot be read: ${errorMessage(error)}` })
}

/** Checked here, where the line is known. Written anew only if it does not fit on one line. */
function oneJsonLine(text: string, where: string): string {
  try {
    const value = JSON.parse(text)
    return text.includes('\n') ? JSON.stringify(value) : text
  } catch (error) {
    throw new InvalidInput({
      code: 'bad_json',
      message: `${where} is not JSON: ${errorMessage(error)}`,
      hint: 'each event is one JSON value; text needs double quotes, and the shell wants single quotes around it all',
    })
  }
}

async function* batches(lines: AsyncIterable<Line> | Iterable<Line>): AsyncGenerator<Line[]> {
  let batch: Line[] = []
  let characters = 0
  for await (const line of lines) {
    if (batch.length > 0 && (batch.length >= requestEvents || characters + line.json.length > requestCharacters)) {
      yield batch
      batch = []
      characters = 0
    }
    batch.push(line)
    characters += line.json.length
  }
  if (batch.length > 0) yield batch
}

function publish(target: Target, topic: string, key: string | undefined, batch: readonly Line[]) {
  const query = key === undefined ? '' : `?key=${encodeURIComponent(key)}`
  return call(target, `/v1/topics/${encodeURIComponent(topic)}/events${query}`, answer, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: `${batch.map(({ json }) => json).join('\n')}\n`,
  })
}

/**
 * A request is taken as a whole or not at all, so it can be said which of the user's lines are wrong, and where to go on
 * once they are right.
 */
function explain(error: unknown, topic: string, accepted: number, batch: readonly Line[]): unknown {
  if (!(error instanceof MillraceError)) return error
  if (error.code === 'topic_not_found') {
    const hint = `create it with millrace topics create ${topic}, or run a pipeline that reads it`
    return new MillraceError({ code: error.code, message: error.message, hint, cause: error })
  }
  const details = error instanceof ApiError ? error.errors : []
  const wrong = details.slice(0, shownErrors).flatMap(({ index, pointer = '', message }) => {
    const line = index === undefined ? undefined : batch[index]
    const place = pointer === '' || message.includes(pointer) ? '' : ` at ${pointer}`
    return line === undefined ? [] : [`${line.where}${place}: ${message}`]
  })
  const more = details.length > shownErrors ? [`and ${details.length - shownErrors} more`] : []
  const before = `${formatCount(accepted)} events were accepted; nothing from ${batch[0]?.where ?? 'there'} on`
  return new MillraceError({
    code: error.code,
    message: wrong.length === 0 ? error.message : [...wrong, ...more].join('\n'),
    hint:
      accepted > 0 ? before : wrong.length > 0 ? 'nothing was accepted; correct these and publish again' : error.hint,
    cause: error,
  })
}
