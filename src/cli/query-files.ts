import { readFile } from 'node:fs/promises'
import { relative } from 'node:path'
import { glob } from 'tinyglobby'
import { type Problem, ProblemList } from '../config/problem.ts'
import { parseQuery } from '../config/query-file.ts'
import type { Runtime } from '../config/runtime.ts'
import { InvalidInput } from '../core/errors.ts'
import type { NamedQuery } from '../core/named-query.ts'
import { printProblems } from './project.ts'
import type { Terminal } from './terminal.ts'

export interface LintedQueries {
  /** Those without errors. */
  readonly queries: readonly NamedQuery[]
  readonly problems: readonly Problem[]
  /** The text of each file, by its name in problems. */
  readonly texts: ReadonlyMap<string, string>
}

/** Absolute paths, in the order of their names. */
export async function findQueryFiles({ queries, base }: Pick<Runtime, 'queries' | 'base'>): Promise<string[]> {
  return (await glob([...queries], { cwd: base, absolute: true })).toSorted()
}

/** Checks every file, and that no two queries have one name. `folder`: where paths in messages start from. */
export async function lintQueries(files: readonly string[], folder: string): Promise<LintedQueries> {
  const queries = new Map<string, { readonly query: NamedQuery; readonly file: string }>()
  const problems: Problem[] = []
  const texts = new Map<string, string>()
  for (const path of files) {
    const file = relative(folder, path)
    const text = await readFile(path, 'utf8')
    texts.set(file, text)
    const { query, problems: found } = parseQuery(text, file)
    problems.push(...found)
    if (query === undefined) continue
    const same = queries.get(query.name)
    if (same === undefined) queries.set(query.name, { query, file })
    else problems.push(...sameName(file, text, query.name, same.file))
  }
  return { queries: [...queries.values()].map(({ query }) => query), problems, texts }
}

/** The queries of a runtime. Prints every problem, and throws `InvalidInput` if one of them is an error. */
export async function readQueries(
  runtime: Pick<Runtime, 'queries' | 'base'>,
  folder: string,
  terminal: Terminal,
): Promise<readonly NamedQuery[]> {
  const { queries, problems, texts } = await lintQueries(await findQueryFiles(runtime), folder)
  printProblems(problems, texts, terminal)
  const errors = problems.filter(({ severity }) => severity === 'error').length
  if (errors === 0) return queries
  const message = errors === 1 ? 'a query file has an error' : `the query files have ${errors} errors`
  throw new InvalidInput({ code: 'invalid_query_file', message })
}

function sameName(file: string, text: string, name: string, other: string): readonly Problem[] {
  const problems = new ProblemList(file, text)
  const at = Math.max(0, text.search(/^["']?name["']?\s*:/m))
  const message = `there is another query "${name}", in ${other}`
  problems.add({ start: at, end: at + 4 }, { code: 'query_exists', message, hint: 'give one of them another name' })
  return problems.all
}
