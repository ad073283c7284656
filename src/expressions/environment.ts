import { type ASTNode, Environment, type ParseResult, type SourceRange } from '@marcbachmann/cel-js'
import { registerFunctions, registerNumbers, registerSubstitutes, substitutes } from './functions.ts'
import type { PatternSteps } from './pattern.ts'
import { walk } from './tree.ts'

/** What an expression sees, with CEL types. All numbers of an event are fractional to CEL, which mixes them freely. */
const variables = {
  value: 'dyn',
  key: 'dyn',
  headers: 'map<string, string>',
  timestamp: 'double',
  topic: 'string',
  partition: 'double',
  offset: 'double',
} as const

export const scopeNames: readonly string[] = Object.keys(variables)

/** `steps`: what patterns may still take; whoever evaluates sets it anew. */
export function createEnvironment(steps: PatternSteps): Environment {
  const environment = new Environment({
    enableOptionalTypes: true,
    homogeneousAggregateLiterals: false,
    limits: { maxAstNodes: 10_000, maxDepth: 100 },
  })
  for (const [name, type] of Object.entries(variables)) environment.registerVariable(name, type)
  registerNumbers(environment)
  registerFunctions(environment)
  registerSubstitutes(environment, steps)
  return environment
}

/**
 * Parses and type-checks an expression, with two liberties over CEL: `has(value.a.b)` is false when `value.a` is not
 * there, where CEL fails; and the branches of `?:` may differ in type, as in `has(value.a) ? value.a : null`. Some
 * functions are carried out by our own: see `substitutes`. Throws the library's `ParseError` or `TypeError`.
 */
export function parse(environment: Environment, text: string): { readonly run: ParseResult; readonly type: string } {
  const run = environment.parse(text)
  walk(run.ast, (node) => {
    guardHas(environment, node)
    substitute(node)
  })
  for (;;) {
    const { type, error } = run.check()
    if (error === undefined) return { run, type: type ?? 'dyn' }
    if (error.code !== 'incompatible_ternary_branches' || !loosenBranches(environment, run.ast, error)) throw error
  }
}

function substitute(node: ASTNode): void {
  if (node.op !== 'call' && node.op !== 'rcall') return
  const [name] = node.args
  if (Object.hasOwn(substitutes, name)) node.args[0] = substitutes[name] ?? name
}

/** Makes the branches that do not agree dynamic. Each `?:` can need this once, so the caller's loop ends. */
function loosenBranches(
  environment: Environment,
  root: ASTNode,
  { range }: { readonly range?: SourceRange | undefined },
): boolean {
  let loosened = false
  walk(root, (node) => {
    if (loosened || node.op !== '?:' || node.start !== range?.start || node.end !== range.end) return
    const [, yes, no] = node.args
    if (isDynamic(yes)) return
    node.args[1] = asDynamic(environment, yes)
    node.args[2] = asDynamic(environment, no)
    loosened = true
  })
  return loosened
}

function isDynamic(node: ASTNode): boolean {
  return node.op === 'call' && node.args[0] === 'dyn'
}

function asDynamic(environment: Environment, branch: ASTNode): ASTNode {
  const call = environment.parse('dyn(null)').ast
  if (call.op === 'call') call.args[1][0] = branch
  return call
}

/** The macro is expanded while parsing, so the safe form is hung beside the node, as the library does for its own. */
function guardHas(environment: Environment, node: ASTNode): void {
  if (node.op !== 'call' || node.args[0] !== 'has' || !canBeReplaced(node)) return
  const names: string[] = []
  let part = node.args[1][0]
  for (; part?.op === '.'; part = part.args[0]) names.unshift(part.args[1])
  if (part?.op !== 'id' || names.length < 2) return
  const root = part.args
  const steps = names.map((_, index) => `has(${[root, ...names.slice(0, index + 1)].join('.')})`)
  node.setMeta('alternate', environment.parse(steps.join(' && ')).ast)
}

/** The library's own nodes have this method; its types leave it out. */
function canBeReplaced(node: ASTNode): node is ASTNode & { setMeta(name: 'alternate', value: ASTNode): unknown } {
  return 'setMeta' in node && typeof node.setMeta === 'function'
}
