import { access, readFile, stat } from 'node:fs/promises'
import { relative, resolve } from 'node:path'
import { glob } from 'tinyglobby'
import { lintAll } from '../config/lint-all.ts'
import { parsePipeline } from '../config/pipeline.ts'
import { formatProblem, type Problem } from '../config/problem.ts'
import type { Runtime } from '../config/runtime.ts'
import { InvalidInput } from '../core/errors.ts'
import type { PipelineSpec } from '../core/pipeline.ts'
import { createExpressions } from '../expressions/index.ts'
import { createSerde } from '../serde/index.ts'
import { catalog } from './catalog.ts'
import type { Cli, GlobalOptions } from './cli.ts'
import { openRuntime } from './runtime.ts'
import { lintSchemas } from './schema-lint.ts'
import type { Terminal } from './terminal.ts'

/** The runtime and the pipeline files that a command works with. */
export interface Project {
  readonly runtime: Runtime
  /** Absolute paths, in the order of their names. */
  readonly files: readonly string[]
  /** The folder that paths in messages start from. */
  readonly folder: string
}

export interface LintResult {
  readonly problems: readonly Problem[]
  /** The pipelines without errors. */
  readonly specs: readonly PipelineSpec[]
  /** The text of each file, by its name in problems. */
  readonly texts: ReadonlyMap<string, string>
}

/** The files that were named, or those that the runtime names. Throws `InvalidInput` for a file that is not there. */
export async function findPipelineFiles(cli: Cli, runtime: Runtime, named: readonly string[]): Promise<string[]> {
  if (named.length === 0) {
    return (await glob([...runtime.pipelines], { cwd: runtime.base, absolute: true })).toSorted()
  }
  const files = named.map((file) => resolve(cli.folder, file))
  for (const [index, file] of files.entries()) {
    await access(file).catch((error: unknown) => {
      const message = `the pipeline file ${named[index]} is not there or cannot be read`
      throw new InvalidInput({ code: 'file_not_found', message, cause: error })
    })
    if ((await stat(file)).isDirectory()) {
      const message = `${named[index]} is a folder, not a pipeline file`
      throw new InvalidInput({ code: 'not_a_file', message, hint: `name its files: ${named[index]}/*.yaml` })
    }
  }
  return files
}

export async function openProject(cli: Cli, options: GlobalOptions, named: readonly string[]): Promise<Project> {
  const runtime = await openRuntime(cli, options)
  const files = await findPipelineFiles(cli, runtime, named)
  if (files.length === 0) {
    throw new InvalidInput({
      code: 'no_pipelines',
      message: `there is no pipeline file: nothing matches ${runtime.pipelines.join(', ')} in ${runtime.base}`,
      hint: 'millrace init writes one to start from',
    })
  }
  return { runtime, files, folder: cli.folder }
}

/** Checks every file, and the files together; problems come back all at once. */
export async function lintProject({ runtime, files, folder }: Project): Promise<LintResult> {
  const expressions = createExpressions()
  const serde = createSerde({ folder: runtime.schemas, registry: runtime.schemaRegistry })
  const problems: Problem[] = []
  const specs: PipelineSpec[] = []
  const texts = new Map<string, string>()
  for (const path of files) {
    const file = relative(folder, path)
    const text = await readFile(path, 'utf8')
    texts.set(file, text)
    const parsed = await parsePipeline(text, { file, catalog, expressions, serde })
    problems.push(...parsed.problems)
    if (parsed.spec === undefined) continue
    const { name } = parsed.spec
    const same = specs.find((spec) => spec.name === name)
    if (same === undefined) specs.push(parsed.spec)
    else problems.push(sameName(file, text, name, same.file))
  }
  problems.push(...lintAll(specs, catalog))
  problems.push(...(await lintSchemas(specs, serde, folder)))
  return { problems, specs, texts }
}

/** Pipelines of one name would share their group, their dead letters and their state. */
function sameName(file: string, text: string, name: string, other: string): Problem {
  const lines = text.split(/\r?\n/)
  const line = Math.max(
    0,
    lines.findIndex((candidate) => /^["']?name["']?\s*:/.test(candidate)),
  )
  const column = Math.max(0, lines[line]?.indexOf(name) ?? 0)
  return {
    file,
    line: line + 1,
    column: column + 1,
    length: name.length,
    severity: 'error',
    code: 'pipeline_exists',
    message: `there is another pipeline "${name}", in ${other}`,
    hint: 'give one of them another name',
  }
}

/** The pipelines of a project. Prints every problem, and throws `InvalidInput` if one of them is an error. */
export async function readPipelines(project: Project, terminal: Terminal): Promise<readonly PipelineSpec[]> {
  const { problems, specs, texts } = await lintProject(project)
  printProblems(problems, texts, terminal)
  const errors = problems.filter(({ severity }) => severity === 'error').length
  if (errors === 0) return specs
  const message = errors === 1 ? 'a pipeline file has an error' : `the pipeline files have ${errors} errors`
  throw new InvalidInput({ code: 'invalid_pipeline', message })
}

export function printProblems(
  problems: readonly Problem[],
  texts: ReadonlyMap<string, string>,
  terminal: Terminal,
): void {
  for (const problem of problems) {
    terminal.note(formatProblem(problem, texts.get(problem.file), { colour: terminal.colours }))
    terminal.note('')
  }
}
