import { type Command, InvalidArgumentError } from 'commander'
import { z } from 'zod'
import { type Filter, filterSchema } from '../../core/filter.ts'
import { call, jsonBody } from '../api.ts'
import { type Cli, type DataOptions, examples, numberBetween, wholeNumber } from '../cli.ts'
import { dataOptions, openTarget } from '../target.ts'

const answer = z.object({
  matches: z.array(
    z.looseObject({
      id: z.string(),
      score: z.number(),
      fields: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
    }),
  ),
})
type Match = z.infer<typeof answer>['matches'][number]

interface SearchOptions extends DataOptions {
  readonly k: number
  readonly filter?: Filter
  readonly minScore?: number
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
    .option('--min-score <score>', 'only matches at least this similar, from -1 to 1', numberBetween(-1, 1))
    .addHelpText(
      'after',
      examples(
        'millrace search tickets charged twice',
        `millrace search tickets "cannot log in" -k 10 --filter category=outage --min-score 0.4`,
        `millrace search tickets refund --filter '{"category": {"$in": ["billing", "howto"]}}'`,
      ),
    )
    .action(async (collection: string, words: string[], options: SearchOptions, command: Command) => {
      await using target = await openTarget(command.optsWithGlobals(), cli)
      const { k, filter, minScore } = options
      const query = { text: words.join(' '), k, filter, minScore }
      const path = `/v1/collections/${encodeURIComponent(collection)}/search`
      const { matches } = await call(target, path, answer, jsonBody('POST', query))
      if (options.json) cli.terminal.json({ matches })
      else if (matches.length === 0) cli.terminal.note('nothing found')
      else for (const match of matches) printMatch(cli, match)
    })
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

function printMatch({ terminal }: Cli, { id, score, fields }: Match): void {
  terminal.print(`${terminal.style('green', score.toFixed(3))}  ${terminal.style('dim', id)}`)
  for (const [name, value] of Object.entries(fields)) {
    const text = String(value).replace(/\s+/g, ' ')
    const shown = text.length > shownCharacters ? `${text.slice(0, shownCharacters)}…` : text
    terminal.print(`       ${terminal.style('cyan', `${name}:`)} ${shown}`)
  }
}
