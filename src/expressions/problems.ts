import {
  type ASTNode,
  type Environment,
  EvaluationError,
  ParseError,
  TypeError as TypeMismatch,
} from '@marcbachmann/cel-js'
import { errorMessage } from '../core/errors.ts'
import { isJsonObject, type Json } from '../core/event.ts'
import type { ExpressionProblem, ExpressionType } from '../core/expression.ts'
import { didYouMean } from '../core/nearest.ts'
import type { Shape } from '../core/shape.ts'
import { scopeNames } from './environment.ts'
import { substitutes } from './functions.ts'
import { compilePattern } from './pattern.ts'
import { fieldPath, walk } from './tree.ts'

/** The words of an error of the library, in terms of events and numbers, and where in the text it is. */
export function explain(error: unknown, environment: Environment): ExpressionProblem {
  if (!(error instanceof ParseError || error instanceof TypeMismatch || error instanceof EvaluationError))
    return { message: errorMessage(error), at: 0 }
  return { message: reword(error, environment), at: error.range?.start ?? 0 }
}

function reword(
  { code, summary, node }: ParseError | TypeMismatch | EvaluationError,
  environment: Environment,
): string {
  let text = readableTypes(summary)
  for (const [name, substitute] of Object.entries(substitutes)) text = text.replaceAll(substitute, name)
  switch (code) {
    case 'no_such_overload': {
      const operation = text.replace('no such overload: ', '')
      const mixed = operation.includes('string') && operation.includes('number')
      return `there is no operation ${operation}${mixed ? '; turn the number into text with string(…)' : ''}`
    }
    case 'no_matching_overload': {
      const name = functionName(node)
      const known = knownFunctions(environment)
      if (name !== undefined && !known.has(name)) return `unknown function "${name}"${didYouMean(name, known)}`
      return text.replace('found no matching overload for ', 'there is no function ').replaceAll("'", '')
    }
    case 'unexpected_token':
      return text.endsWith('EOF') ? 'the expression ends too early' : text.toLowerCase()
    default:
      return text
  }
}

function knownFunctions(environment: Environment): Set<string> {
  const names = new Set(environment.getDefinitions().functions.map(({ name }) => name))
  for (const substitute of Object.values(substitutes)) names.delete(substitute)
  return names
}

/** As it is written in the expression. */
function functionName(node: unknown): string | undefined {
  if (typeof node !== 'object' || node === null || !('args' in node) || !Array.isArray(node.args)) return undefined
  const name: unknown = node.args[0]
  return (
    Object.keys(substitutes).find((written) => substitutes[written] === name) ??
    (typeof name === 'string' ? name : undefined)
  )
}

function readableTypes(text: string): string {
  return text.replaceAll(/dyn<(\w+)>/g, '$1').replaceAll(/\b(u?int|double)\b/g, 'number')
}

/** Names that mean nothing, and fields that the events do not have. */
export function nameProblems(root: ASTNode, shape: Shape): ExpressionProblem[] {
  const problems: ExpressionProblem[] = []
  walk(root, (node, bound) => {
    if (node.op === 'id') {
      const name = node.args
      const known = [...scopeNames, ...bound]
      if (known.includes(name) || builtin.has(name)) return
      const field = shape.fields?.has(name) ? `, did you mean value.${name}?` : didYouMean(name, known)
      problems.push({
        message: `unknown name "${name}"${field || `; there is ${scopeNames.join(', ')}`}`,
        at: node.start,
      })
      return
    }
    const [variable, field, ...deeper] = fieldPath(node) ?? []
    if (variable !== 'value' || bound.has('value') || field === undefined || deeper.length > 0) return
    if (shape.fields === undefined || shape.fields.has(field)) return
    const hint = didYouMean(field, shape.fields) || `; there is ${[...shape.fields].join(', ') || 'none'}`
    problems.push({ message: `no field "${field}" in value${hint}`, at: node.op === '.' ? node.pos : node.start })
  })
  return problems
}

/** Patterns that are no regular expressions. */
export function patternProblems(root: ASTNode): ExpressionProblem[] {
  const problems: ExpressionProblem[] = []
  walk(root, (node) => {
    const pattern = node.op === 'rcall' && node.args[0] === 'matches' ? node.args[2][0] : undefined
    if (pattern?.op !== 'value' || typeof pattern.args !== 'string') return
    try {
      compilePattern(pattern.args)
    } catch (error) {
      problems.push({ message: errorMessage(error), at: pattern.start })
    }
  })
  return problems
}

/** Types and namespaces that CEL itself names. */
const builtin = new Set(['cel', 'google', 'optional'])
for (const type of ['bool', 'int', 'uint', 'double', 'string', 'bytes', 'list', 'map', 'type', 'null_type', 'dyn'])
  builtin.add(type)

const wanted: Record<ExpressionType, string> = {
  bool: 'true or false',
  string: 'a text',
  number: 'a number',
  list: 'a list',
  any: 'anything',
}

/** Why a result of this CEL type can never be what is asked for, or undefined if it can. */
export function typeProblem(type: string, returns: ExpressionType): string | undefined {
  const kind = type.replace(/<.*/, '')
  if (kind === 'dyn' || kind === 'optional' || accepted[returns]?.has(kind) !== false) return undefined
  return `this is ${named(kind)}, but ${wanted[returns]} is needed here`
}

const accepted: Record<ExpressionType, ReadonlySet<string> | undefined> = {
  bool: new Set(['bool']),
  string: new Set(['string', 'int', 'uint', 'double']),
  number: new Set(['int', 'uint', 'double']),
  list: new Set(['list']),
  any: undefined,
}

function named(kind: string): string {
  if (kind === 'bool') return 'true or false'
  if (kind === 'string') return 'a text'
  if (kind === 'list') return 'a list'
  if (kind === 'map') return 'an object'
  return kind === 'int' || kind === 'uint' || kind === 'double'
    ? 'a number'
    : `a ${kind.split('.').at(-1)?.toLowerCase()}`
}

export function mismatch(value: Json, returns: ExpressionType): string {
  return `the result is ${describe(value)}, but ${wanted[returns]} is needed here`
}

export function describe(value: Json | undefined): string {
  if (value === undefined) return 'missing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return `a list of ${value.length}`
  if (isJsonObject(value)) return fieldsOf(value)
  if (typeof value === 'string')
    return `the text ${JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)}`
  return `${value}`
}

function fieldsOf(value: { readonly [name: string]: Json }): string {
  const names = Object.keys(value)
  if (names.length === 0) return 'an object without fields'
  return `an object with ${names.slice(0, 12).join(', ')}${names.length > 12 ? ', …' : ''}`
}
