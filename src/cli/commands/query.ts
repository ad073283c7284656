import { type Command, InvalidArgumentError, Option } from 'commander'
import { z } from 'zod'
import { call, jsonBody } from '../api.ts'
import { type Cli, type DataOptions, examples } from '../cli.ts'
import { WrongUsage } from '../failure.ts'
import { formatAmount, printTable } from '../table.ts'
import { dataOptions, openTarget } from '../target.ts'

const answer = z.object({
  columns: z.array(z.object({ name: z.string(), type: z.string() })),
  rows: z.array(z.record(z.string(), z.unknown())),
})
type Answer = z.infer<typeof answer>

interface QueryOptions extends DataOptions {
  readonly csv?: boolean
  readonly name?: string
  readonly param?: Readonly<Record<string, string>>
}

export function addQuery(program: Command, cli: Cli): void {
  dataOptions(program.command('query'))
    .description('ask ClickHouse, read-only')
    .argument('[sql]', 'the query; {name:Type} takes a parameter')
    .option('--name <query>', 'a named query, instead of SQL')
    .option('--param <name=value>', 'a parameter of the query; may be given several times', addParam)
    .addOption(new Option('--csv', 'print CSV with a header line').conflicts('json'))
    .addHelpText(
      'after',
      examples(
        'millrace query "SELECT category, count() AS n FROM tickets GROUP BY category ORDER BY n DESC"',
        `millrace query "SELECT * FROM tickets WHERE category = {c:String}" --param c=billing --csv`,
        'millrace query --name tickets-by-category --param hours=1',
      ),
    )
    .action(async (sql: string | undefined, options: QueryOptions, command: Command) => {
      const { name, param: params = {} } = options
      if ((sql === undefined) === (name === undefined)) {
        throw new WrongUsage('query takes SQL or the name of a query', 'millrace query "SELECT 1", or --name NAME')
      }
      await using target = await openTarget(command.optsWithGlobals(), cli)
      const path = name === undefined ? '/v1/query' : `/v1/queries/${encodeURIComponent(name)}`
      const body = name === undefined ? { sql, params } : { params }
      const result = await call(target, path, answer, jsonBody('POST', body))
      if (options.json) cli.terminal.json(result)
      else if (options.csv) for (const line of csvLines(result)) cli.terminal.print(line)
      else printResult(cli, result)
    })
}

function addParam(text: string, before: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  const at = text.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('Write name=value.')
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) }
}

function printResult(cli: Cli, { columns, rows }: Answer): void {
  const titles = columns.map(({ name, type }) => ({ title: name, right: isNumeric(type) }))
  printTable(
    cli.terminal,
    titles,
    rows.map((row) => columns.map(({ name }) => cell(row[name]))),
  )
  cli.terminal.note(cli.terminal.style('dim', formatAmount(rows.length, 'row')))
}

function isNumeric(type: string): boolean {
  return /^(?:Nullable\(|LowCardinality\()*(?:U?Int|Float|Decimal)/.test(type)
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return 'NULL'
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

/** RFC 4180. */
function csvLines({ columns, rows }: Answer): string[] {
  const quote = (text: string) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)
  const names = columns.map(({ name }) => name)
  const field = (value: unknown) => (value === null || value === undefined ? '' : quote(cell(value)))
  return [names.map(quote).join(','), ...rows.map((row) => names.map((name) => field(row[name])).join(','))]
}
