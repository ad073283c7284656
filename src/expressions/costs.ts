import type { ASTNode } from '@marcbachmann/cel-js'
import type { ExpressionProblem } from '../core/expression.ts'
import { scopeNames } from './environment.ts'
import { children, macroOf, walk } from './tree.ts'

const buildingMacros = new Set(['map', 'bind'])

/**
 * What costs the square of how often it stands there: each `+` of lists copies all that is before it, and for each `?:`
 * whose branches differ in type the whole expression is checked anew.
 */
const mostOf: Readonly<Record<string, number>> = { '+': 20, '?:': 20 }

/**
 * What could make an expression cost far more than its length and its event's. Of macros, one within another runs once for
 * each item, of several that build values each can double what the one before it built, and work on the event's own
 * fields is done anew for each item.
 */
export function costProblems(root: ASTNode): ExpressionProblem[] {
  const problems: ExpressionProblem[] = []
  const counts: Record<string, number> = {}
  let building = 0
  walk(root, (node) => {
    const most = mostOf[node.op]
    counts[node.op] = (counts[node.op] ?? 0) + 1
    if (most !== undefined && counts[node.op] === most + 1)
      problems.push({ message: `"${node.op}" may stand ${most} times in an expression here`, at: node.start })
    const macro = macroOf(node)
    if (macro === undefined) return
    if (buildingMacros.has(macro.name) && ++building === 2)
      problems.push({ message: 'only one "map" or "bind" may stand in an expression here', at: node.start })
    for (const part of macro.args)
      walk(part, (inner) => {
        const name = macroOf(inner)?.name
        if (name === undefined) return
        problems.push({ message: `"${name}" must not stand within "${macro.name}" here`, at: inner.start })
      })
    if (macro.name !== 'bind') problems.push(...repeatedWork(macro))
  })
  return problems
}

/** Work on fields of the event itself, which may be long, for each item of a list. */
function repeatedWork({ name, args: [item, ...body] }: NonNullable<ReturnType<typeof macroOf>>): ExpressionProblem[] {
  const problems: ExpressionProblem[] = []
  const bound = item?.op === 'id' ? item.args : undefined
  const message = `within "${name}", fields of the event can only be compared with the item here`
  for (const part of body)
    walk(part, (node) => {
      if (worksOn(node).some((operand) => isOfEvent(operand, bound))) problems.push({ message, at: node.start })
    })
  return problems
}

/** The operands that a node takes as long for as they are long. Comparing takes as long as the shorter one. */
function worksOn(node: ASTNode): ASTNode[] {
  switch (node.op) {
    case 'call':
      return node.args[0] === 'has' ? [] : children(node)
    case 'rcall':
    case '+':
    case 'list':
    case 'map':
      return children(node)
    case 'in':
      return [node.args[1]]
    case '==':
    case '!=':
    case '<':
    case '<=':
    case '>':
    case '>=': {
      const [left, right] = node.args
      return isOfEvent(left) && isOfEvent(right) ? [left, right] : []
    }
    default:
      return []
  }
}

/** Whether what comes of a node may be a part of the event, or was made of one. `bound`: a name that the macro binds. */
function isOfEvent(node: ASTNode, bound?: string): boolean {
  switch (node.op) {
    case 'id':
      return node.args !== bound && scopeNames.includes(node.args)
    case '.':
    case '.?':
    case '[]':
    case '[?]':
      return isOfEvent(node.args[0], bound)
    case '?:':
      return isOfEvent(node.args[1], bound) || isOfEvent(node.args[2], bound)
    case 'call':
    case 'rcall':
    case '+':
    case 'list':
    case 'map':
      return children(node).some((part) => isOfEvent(part, bound))
    default:
      return false
  }
}
