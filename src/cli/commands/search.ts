import { type Command, InvalidArgumentError } from 'commander'
import { z } from 'zod'
import { type Filter, filterSchema } from '../../core/filter.ts'
import { parseDuration } from '../../core/units.ts'
import { call, jsonBody } from '../api.ts'
import { type Cli, type DataOptions, examples, numberBetween, wholeNumber } from '../cli.ts'
import { oneLine } from '../table.ts'
import { dataOptions, openTarget } from '../target.ts'

const answer = z.object({
  matches: z.array(
    z.looseObject({
      id: z.string(),
      score: z.number(),
      similarity: z.number().optional(),
      words: z.number().optional(),
      fields: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
    }),
  ),
  hint: z.string().optional(),
})
type Match = z.infer<typeof answer>['matches'][number]

interface SearchOptions extends DataOptions {
  readonly k: number
  readonly filter?: Filter
  readonly minScore?: number
  /** `true` where no weight was given. */
  readonly hybrid?: number | true
  readonly recent?: string
}

const defaultMatches = 5
const shownCharacters = 160

export function addSearch(program: Command, cli: Cli): void {
  dataOptions(program.command('search'))
    .description('find what means the same in a collection')
    .argument('<collection>', 'the collection')
    .argument('<text...>', 'what to look for, in plain words')
    .option('-k, --k <n>', 'how many matches at most', wholeNumber(1), defaultMatches)
    .option('--filter <condition>', 'field=value, or a filter as JSON; several must all hold', addFilter)
    .option('--min-score <score>', 'only matches with at least this score, from -1 to 1', numberBetween(-1, 1))
    .option('--hybrid [weight]', 'also look for the words; how much they count beside the meaning, 0 to 1', wordsWeight)
    .option('--recent <half-life>', 'newer matches first: after this long, such as 7d, what fades is half', halfLife)
    .addHelpText(
      'after',
      examples(
        'millrace search tickets charged twice',
        `millrace search tickets "cannot log in" -k 10 --filter category=outage --min-score 0.4`,
        'millrace search tickets "error 4711 in checkout" --hybrid',
        'millrace search tickets cannot log in --recent 7d',
        `millrace search tickets refund --filter '{"category": {"$in": ["billing", "howto"]}}'`,
      ),
    )
    .action(async (collection: string, words: string[], options: SearchOptions, command: Command) => {
      await using target = await openTarget(command.optsWithGlobals(), cli)
      const { k, filter, minScore, hybrid, recent } = options
      const query = {
        text: words.join(' '),
        k,
        filter,
        minScore,
        hybrid: typeof hybrid === 'number' ? { weight: hybrid } : hybrid,
        recency: recent === undefined ? undefined : { halfLife: recent },
      }
      const path = `/v1/collections/${encodeURIComponent(collection)}/search`
      const { matches, hint } = await call(target, path, answer, jsonBody('POST', query))
      if (options.json) return cli.terminal.json({ matches, hint })
      if (matches.length === 0) cli.terminal.note('nothing found')
      for (const match of matches) printMatch(cli, match, hybrid !== undefined || recent !== undefined)
      if (hint !== undefined) cli.terminal.note(hint)
    })
}

function wordsWeight(text: string): number {
  const weight = Number(text)
  if (text.trim() !== '' && weight >= 0 && weight <= 1) return weight
  throw new InvalidArgumentError('Give a weight from 0 to 1, or none and --hybrid behind the text.')
}

function halfLife(text: string): string {
  if ((parseDuration(text) ?? 0) > 0) return text
  throw new InvalidArgumentError('Give a duration with its unit, such as 12h or 7d.')
}

function addFilter(text: string, before?: Filter): Filter {
  const filter = parseFilter(text)
  return before === undefined ? filter : { $and: [before, filter] }
}

function parseFilter(text: string): Filter {
  if (!text.trimStart().startsWith('{')) {
    const at = text.indexOf('=')
    if (at < 1) throw new InvalidArgumentError('Write field=value or a filter as JSON.')
    return { [text.slice(0, at)]: scalar(text.slice(at + 1)) }
  }
  const parsed = filterSchema.safeParse(parseJson(text))
  if (!parsed.success) throw new InvalidArgumentError(`Not a filter: ${z.prettifyError(parsed.error)}`)
  return parsed.data
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new InvalidArgumentError('Not valid JSON.')
  }
}

/** `true`, `false` and numbers are meant as such; in quotes they are text. */
function scalar(text: string): string | number | boolean {
  if (text === 'true' || text === 'false') return text === 'true'
  if (/^-?\d+(\.\d+)?$/.test(text)) return Number(text)
  return text.replace(/^"(.*)"$/, '$1')
}

/** `inParts`: with what the score is made of. */
function printMatch({ terminal }: Cli, { id, score, similarity, words, fields }: Match, inParts: boolean): void {
  const parts = Object.entries(inParts ? { meaning: similarity, words } : {})
    .flatMap(([name, part]) => (part === undefined ? [] : [`${name} ${part.toFixed(3)}`]))
    .join(', ')
  const place = terminal.style('dim', parts === '' ? oneLine(id) : `${oneLine(id)}  ${parts}`)
  terminal.print(`${terminal.style('green', score.toFixed(3))}  ${place}`)
  for (const [name, value] of Object.entries(fields)) {
    const text = oneLine(String(value)).replace(/\s+/g, ' ')
    const shown = text.length > shownCharacters ? `${text.slice(0, shownCharacters)}…` : text
    terminal.print(`       ${terminal.style('cyan', `${name}:`)} ${shown}`)
  }
}
