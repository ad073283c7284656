import { Scalar } from 'yaml'
import type { AnyProcessor, AnySink, Reference } from '../core/component.ts'
import type { Expressions, ExpressionType } from '../core/expression.ts'
import { didYouMean } from '../core/nearest.ts'
import type { Shape } from '../core/shape.ts'
import { optionSpan, pathInFile, type Use } from './components.ts'
import type { ProblemList, Span } from './problem.ts'
import { type Located, nodeAt } from './yaml.ts'

export interface LintInput {
  /** What the source's events look like. */
  readonly shape: Shape
  readonly id: Located | undefined
  readonly processors: readonly (Use<AnyProcessor> | undefined)[]
  readonly sinks: readonly (Use<AnySink> | undefined)[]
  /** The file's text. */
  readonly text: string
}

/** What is known at one point of the pipeline; no shape after a component that could not be understood. */
type Known = Shape | undefined

/** Walks a pipeline from source to sinks and checks every expression, field and vector that its components name. */
export function lint(input: LintInput, expressions: Expressions, problems: ProblemList): void {
  const checker = new ReferenceChecker(expressions, problems, input.text)
  if (typeof input.id?.value === 'string') checker.expression(input.id.value, 'string', input.id, input.id, input.shape)
  let shape: Known = input.shape
  for (const use of input.processors) {
    if (use !== undefined) checker.references(use, shape)
    shape = use?.valid === true && shape !== undefined ? use.definition.shape(use.options, shape) : undefined
  }
  for (const use of input.sinks) if (use !== undefined) checker.references(use, shape)
}

class ReferenceChecker {
  readonly #expressions: Expressions
  readonly #problems: ProblemList
  readonly #text: string

  constructor(expressions: Expressions, problems: ProblemList, text: string) {
    this.#expressions = expressions
    this.#problems = problems
    this.#text = text
  }

  references(use: Use, shape: Known): void {
    if (!use.valid) return
    for (const reference of use.definition.references(use.options)) this.#reference(use, reference, shape)
  }

  #reference(use: Use, reference: Reference, shape: Known): void {
    const span = optionSpan(use, reference.path)
    if (reference.kind === 'expression') {
      const node = nodeAt(use.node, pathInFile(use, reference.path))
      this.expression(reference.text, reference.returns, node, span, shape)
    } else if (reference.kind === 'field') {
      this.#field(use, reference.name, span, shape?.fields)
    } else {
      this.#vector(use, reference.name, span, shape?.vectors)
    }
  }

  expression(text: string, returns: ExpressionType, node: Located | undefined, span: Span, shape: Known): void {
    const known = shape ?? { fields: undefined, vectors: new Set<string>() }
    for (const { message, at } of this.#expressions.check(text, returns, known)) {
      const place = node?.value === text ? placeInScalar(this.#text, node, at) : undefined
      this.#problems.add(place ?? span, { code: 'bad_expression', message })
    }
  }

  #field(use: Use, name: string, span: Span, fields: ReadonlySet<string> | undefined): void {
    const first = name.split('.')[0] ?? name
    if (fields === undefined || fields.has(name) || fields.has(first)) return
    this.#problems.add(span, {
      code: 'unknown_field',
      message: `${use.definition.name}: no event has a field "${first}" here${didYouMean(first, fields)}`,
      hint: fields.size === 0 ? 'the events have no fields at this point' : `fields at this point: ${list(fields)}`,
    })
  }

  #vector(use: Use, name: string, span: Span, vectors: ReadonlySet<string> | undefined): void {
    if (vectors === undefined || vectors.has(name)) return
    this.#problems.add(span, {
      code: 'unknown_vector',
      message: `${use.definition.name}: no event has a vector "${name}" here${didYouMean(name, vectors)}`,
      hint:
        vectors.size === 0
          ? `make it first, with a processor such as \`embed: { text: …, as: ${name} }\``
          : `vectors at this point: ${list(vectors)}`,
    })
  }
}

function list(names: ReadonlySet<string>): string {
  const shown = [...names].slice(0, 12)
  return names.size > shown.length ? `${shown.join(', ')}, …` : shown.join(', ')
}

/**
 * The place in the file of a character of a scalar's value. Exact for scalars on one line and for literal blocks;
 * undefined where lines were folded or escapes make it uncertain.
 */
function placeInScalar(text: string, node: Located, at: number): Span | undefined {
  const raw = text.slice(node.start, node.end)
  const offset = offsetIn(raw, node.scalar?.type ?? undefined, at)
  if (offset === undefined) return undefined
  const start = node.start + offset
  // The word or number that begins there, else the one character.
  const word = /^[\w.]+/.exec(text.slice(start, node.end))?.[0].length ?? 1
  return { start, end: start + word }
}

function offsetIn(raw: string, type: string | undefined, at: number): number | undefined {
  if (type === Scalar.BLOCK_LITERAL) return offsetInLiteral(raw, at)
  if (raw.includes('\n')) return undefined
  if (type === Scalar.PLAIN) return Math.min(at, Math.max(0, raw.length - 1))
  if (type === Scalar.QUOTE_SINGLE) return offsetInQuotes(raw, at, /''|[^']/gy)
  if (type === Scalar.QUOTE_DOUBLE) return offsetInQuotes(raw, at, /\\(?:x..|u....|U........|.)|[^"\\]/gy)
  return undefined
}

/** `unit` matches what stands for one character of the value. */
function offsetInQuotes(raw: string, at: number, unit: RegExp): number {
  unit.lastIndex = 1
  let offset = 1
  for (let index = 0; index < at && unit.exec(raw) !== null; index += 1) offset = unit.lastIndex
  return Math.min(offset, raw.length - 1)
}

function offsetInLiteral(raw: string, at: number): number | undefined {
  const [header = '', ...lines] = raw.split('\n')
  const indent = lines.find((line) => line.trim() !== '')?.search(/\S/)
  if (indent === undefined || /\d/.test(header)) return undefined
  let offset = header.length + 1
  let left = at
  for (const line of lines) {
    const length = Math.max(0, line.length - indent)
    if (left <= length) return offset + Math.min(line.length, indent + left)
    left -= length + 1
    offset += line.length + 1
  }
  return undefined
}
