import type { ASTNode } from '@marcbachmann/cel-js'

/** The direct parts of a node, in the order they are written. */
export function children(node: ASTNode): ASTNode[] {
  switch (node.op) {
    case 'value':
    case 'id':
      return []
    case '.':
    case '.?':
      return [node.args[0]]
    case 'call':
      return node.args[1]
    case 'rcall':
      return [node.args[1], ...node.args[2]]
    case 'map':
      return node.args.flat()
    case '!_':
    case '-_':
      return [node.args]
    default:
      return [...node.args]
  }
}

/** The name that a macro such as `list.map(item, …)` binds within its arguments. */
function boundName(node: ASTNode): string | undefined {
  if (node.op !== 'rcall') return undefined
  const [name, receiver, [first, ...more]] = node.args
  if (first?.op !== 'id' || more.length === 0) return undefined
  const binds = listMacros.has(name) || (name === 'bind' && receiver.op === 'id' && receiver.args === 'cel')
  return binds ? first.args : undefined
}

const listMacros = new Set(['all', 'exists', 'exists_one', 'map', 'filter'])

/** A macro such as `list.map(item, …)` or `cel.bind(name, …)`, with its arguments. */
export function macroOf(node: ASTNode): { readonly name: string; readonly args: readonly ASTNode[] } | undefined {
  if (node.op !== 'rcall' || boundName(node) === undefined) return undefined
  const [name, , args] = node.args
  return { name, args }
}

/** Calls `visit` for a node and all below it, with the names that macros around it bind. */
export function walk(node: ASTNode, visit: (node: ASTNode, bound: ReadonlySet<string>) => void, bound = none): void {
  visit(node, bound)
  const name = boundName(node)
  const inner = name === undefined ? bound : new Set([...bound, name])
  for (const child of children(node)) walk(child, visit, inner)
}

const none: ReadonlySet<string> = new Set()

/** `["value", "a", "b"]` for `value.a.b` and `value["a"].b`; undefined for anything else. */
export function fieldPath(node: ASTNode): [string, ...string[]] | undefined {
  if (node.op === 'id') return [node.args]
  if (node.op !== '.' && node.op !== '[]') return undefined
  const [left, right] = node.args
  const above = fieldPath(left)
  const name = typeof right === 'string' ? right : right.op === 'value' ? right.args : undefined
  return above !== undefined && typeof name === 'string' ? [...above, name] : undefined
}
