import { InvalidInput, type TextProblem } from '../core/errors.ts'

/** Something that is wrong in a file that a person wrote. */
export interface Problem extends TextProblem {
  readonly file: string
  /** How much of the line is meant, in UTF-16 units; at least 1. */
  readonly length: number
}

/** A range of a text as offsets, `[start, end)`. */
export interface Span {
  readonly start: number
  readonly end: number
}

export interface Finding {
  readonly code: string
  readonly message: string
  readonly hint?: string | undefined
  readonly severity?: 'error' | 'warning' | undefined
}

/** Collects the problems of one file; every position it makes lies inside the text. */
export class ProblemList {
  readonly #file: string
  readonly #text: string
  readonly #problems: Problem[] = []

  constructor(file: string, text: string) {
    this.#file = file
    this.#text = text
  }

  add(span: Span, { severity = 'error', code, message, hint }: Finding): void {
    const place = locate(this.#text, span)
    this.#problems.push({
      file: this.#file,
      ...place,
      severity,
      code,
      message,
      ...(hint === undefined ? {} : { hint }),
    })
  }

  get failed(): boolean {
    return this.#problems.some((problem) => problem.severity === 'error')
  }

  has(code: string): boolean {
    return this.#problems.some((problem) => problem.code === code)
  }

  /** In the order of the file. */
  get all(): Problem[] {
    return this.#problems.toSorted((a, b) => a.line - b.line || a.column - b.column)
  }
}

/** Line, column and length of a span. A span at the end of the text is moved back onto its last visible character. */
function locate(text: string, { start, end }: Span): Pick<Problem, 'line' | 'column' | 'length'> {
  const last = Math.max(0, text.trimEnd().length - 1)
  const from = Math.min(Math.max(0, start), last)
  const lineStart = text.lastIndexOf('\n', from - 1) + 1
  let line = 1
  for (let at = text.indexOf('\n'); at !== -1 && at < lineStart; at = text.indexOf('\n', at + 1)) line += 1
  const stop = /[\r\n]/.exec(text.slice(from))?.index ?? text.length - from
  return { line, column: from - lineStart + 1, length: Math.max(1, Math.min(end - start, stop)) }
}

export interface FormatOptions {
  /** ANSI colours. Default off. */
  readonly colour?: boolean | undefined
}

/**
 * A problem the way compilers show one: the message, where it is, the line with the place underlined, and what to do.
 * `text` is the file's text; without it the line is left out.
 */
export function formatProblem(problem: Problem, text?: string, { colour = false }: FormatOptions = {}): string {
  const paint = (codes: string, words: string) => (colour ? `\u001b[${codes}m${words}\u001b[0m` : words)
  const strong = problem.severity === 'error' ? '1;31' : '1;33'
  const source = text?.split(/\r?\n/)[problem.line - 1]
  const number = String(problem.line)
  const margin = ' '.repeat(number.length)
  const bar = paint('1;34', '|')
  const lines = [
    `${paint(strong, `${problem.severity}[${problem.code}]`)}${paint('1', `: ${problem.message}`)}`,
    `${margin}${paint('1;34', '-->')} ${placeOf(problem)}`,
  ]
  if (source !== undefined) {
    // Tabs are kept so that the caret stands under its character however wide they are shown.
    const indent = source.slice(0, problem.column - 1).replace(/[^\t]/g, ' ')
    lines.push(`${margin} ${bar}`)
    lines.push(`${paint('1;34', number)} ${bar} ${source}`)
    lines.push(`${margin} ${bar} ${indent}${paint(strong, '^'.repeat(problem.length))}`)
  }
  if (problem.hint !== undefined) lines.push(`${margin} ${paint('1;34', '=')} ${paint('1', 'help')}: ${problem.hint}`)
  return lines.join('\n')
}

/** Problems as an error, for those who can only throw. Its message has a line for each: `file:line:column: message`. */
export class InvalidConfig extends InvalidInput {
  override readonly problems: readonly Problem[]
  /** The file's text, for `formatProblem`. */
  readonly text: string | undefined

  constructor(problems: readonly Problem[], text?: string) {
    const errors = problems.filter((problem) => problem.severity === 'error')
    super({ code: errors[0]?.code ?? 'invalid_config', message: errors.map(oneLine).join('\n') })
    this.problems = problems
    this.text = text
  }
}

function oneLine(problem: Problem): string {
  return `${placeOf(problem)}: ${problem.message}${problem.hint === undefined ? '' : ` (${problem.hint})`}`
}

function placeOf({ file, line, column }: Problem): string {
  return line === 0 ? file : `${file}:${line}:${column}`
}
