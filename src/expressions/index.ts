import { type ASTNode, type Environment, EvaluationError, type ParseResult } from '@marcbachmann/cel-js'
import { errorMessage, InvalidInput, MillraceError } from '../core/errors.ts'
import type { Json } from '../core/event.ts'
import type { Expression, ExpressionProblem, Expressions, ExpressionType, Scope } from '../core/expression.ts'
import type { Shape } from '../core/shape.ts'
import { costProblems } from './costs.ts'
import { type Direct, direct, field } from './direct.ts'
import { createEnvironment, parse, scopeNames } from './environment.ts'
import type { PatternSteps } from './pattern.ts'
import { plain } from './plain.ts'
import { describe, explain, mismatch, nameProblems, patternProblems, typeProblem } from './problems.ts'
import { fieldPath } from './tree.ts'

/**
 * CEL over events. In scope: `value`, `key`, `headers`, `timestamp` (milliseconds), `topic`, `partition`, `offset`.
 * Whole and fractional numbers mix freely; division of two whole-number constants or sizes is whole, as in CEL. Where
 * a text is needed, a number will do. Results are plain JSON. The functions are listed in `functions.ts`.
 */
export function createExpressions({ bounded = false }: ExpressionsOptions = {}): Expressions {
  const steps = { left: Number.POSITIVE_INFINITY }
  return new CelExpressions(createEnvironment(steps), bounded, steps)
}

export interface ExpressionsOptions {
  /**
   * For expressions of clients, which run on the main thread: refuses macros that could take seconds or fill the memory
   * with one long list (see `costs.ts`), and fails where patterns take too long on an event. Default false.
   */
  readonly bounded?: boolean | undefined
}

/** What patterns may take on one event, in steps of some 50 ns. */
const patternSteps = 1_000_000

const anyShape: Shape = { fields: undefined, vectors: new Set() }

class CelExpressions implements Expressions {
  readonly #environment: Environment
  readonly #bounded: boolean
  readonly #steps: PatternSteps

  constructor(environment: Environment, bounded: boolean, steps: PatternSteps) {
    this.#environment = environment
    this.#bounded = bounded
    this.#steps = steps
  }

  compile(text: string, returns: 'bool'): Expression<boolean>
  compile(text: string, returns: 'string'): Expression<string>
  compile(text: string, returns: 'number'): Expression<number>
  compile(text: string, returns: 'list'): Expression<readonly Json[]>
  compile(text: string, returns: 'any'): Expression<Json>
  compile(text: string, returns: ExpressionType): Expression<unknown> {
    const [problem] = this.check(text, returns, anyShape)
    if (problem !== undefined)
      throw new InvalidInput({
        code: 'invalid_expression',
        message: `The expression \`${text}\` is not valid at character ${problem.at + 1}: ${problem.message}.`,
      })
    const { run } = parse(this.#environment, text)
    const read = direct(run.ast)
    const evaluate = read === undefined ? this.#evaluator(text, run) : readable(text, read, run.ast)
    return typed(text, returns, evaluate)
  }

  check(text: string, returns: ExpressionType, shape: Shape): ExpressionProblem[] {
    try {
      const { ast } = this.#environment.parse(text)
      const costs = this.#bounded ? costProblems(ast) : []
      const problems = [...nameProblems(ast, shape), ...patternProblems(ast), ...costs]
      if (problems.length > 0) return problems
      const { type } = parse(this.#environment, text)
      const message = typeProblem(type, returns)
      return message === undefined ? [] : [{ message, at: 0 }]
    } catch (error) {
      return [explain(error, this.#environment)]
    }
  }

  #evaluator(text: string, run: ParseResult): Expression<Json> {
    return (scope) => {
      if (this.#bounded) this.#steps.left = patternSteps
      try {
        return plain(run(celScope(scope)))
      } catch (error) {
        throw failure(text, this.#reason(error, scope), error)
      }
    }
  }

  #reason(error: unknown, scope: Scope): string {
    const node = error instanceof EvaluationError && error.code === 'no_such_key' ? error.node : undefined
    return (node && missing(node, scope)) ?? explain(error, this.#environment).message
  }
}

function celScope({ value, key, headers, timestamp, position }: Scope) {
  const { topic, partition, offset } = position
  return { value, key, headers, timestamp, topic, partition, offset }
}

function readable(text: string, read: Direct, node: ASTNode): Expression<Json> {
  return (scope) => {
    const value = read(scope)
    if (value !== undefined) return value
    throw failure(text, missing(node, scope) ?? 'a field is missing')
  }
}

/** Which step of a path leads nowhere, and what is there instead. */
function missing(node: ASTNode, scope: Scope): string | undefined {
  if (node.op === 'list' || node.op === 'map')
    return node.args
      .flat()
      .map((part) => missing(part, scope))
      .find((reason) => reason !== undefined)
  const [variable, ...fields] = fieldPath(node) ?? []
  if (variable === undefined || !scopeNames.includes(variable)) return undefined
  let here: Json | undefined = celScope(scope)[variable as keyof ReturnType<typeof celScope>]
  let walked = variable
  for (const name of fields) {
    const next = field(here, name)
    if (next === undefined) return `${walked} has no field "${name}": it is ${describe(here)}`
    here = next
    walked += `.${name}`
  }
  return undefined
}

function typed(text: string, returns: ExpressionType, evaluate: Expression<Json>): Expression<unknown> {
  if (returns === 'any') return evaluate
  const fits = conversions[returns]
  return (scope) => {
    const result = evaluate(scope)
    const converted = fits(result)
    if (converted === undefined) throw failure(text, mismatch(result, returns))
    return converted
  }
}

const conversions: Record<Exclude<ExpressionType, 'any'>, (value: Json) => Json | undefined> = {
  bool: (value) => (typeof value === 'boolean' ? value : undefined),
  number: (value) => (typeof value === 'number' ? value : undefined),
  list: (value) => (Array.isArray(value) ? value : undefined),
  string: (value) => (typeof value === 'string' ? value : typeof value === 'number' ? `${value}` : undefined),
}

function failure(text: string, reason: string, cause?: unknown): MillraceError {
  return new MillraceError({
    code: 'expression_failed',
    message: `The expression \`${text}\` failed: ${reason}.`,
    cause: cause instanceof Error ? errorMessage(cause) : undefined,
  })
}
