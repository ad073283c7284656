import type { ASTNode } from '@marcbachmann/cel-js'
import { isJsonObject, type Json } from '../core/event.ts'
import type { Scope } from '../core/expression.ts'
import { fieldPath } from './tree.ts'

/** Reads an event without the CEL evaluator; `undefined` when something is not there. */
export type Direct = (scope: Scope) => Json | undefined

/**
 * The direct form of what most expressions are: a field path such as `value.customer.id`, a name in scope, a constant,
 * or a list or object of those. Undefined for everything else.
 */
export function direct(node: ASTNode): Direct | undefined {
  switch (node.op) {
    case 'value':
      return constant(node.args)
    case 'id':
    case '.':
    case '[]':
      return path(node)
    case 'list':
      return list(node.args)
    case 'map':
      return object(node.args)
    default:
      return undefined
  }
}

function constant(value: unknown): Direct | undefined {
  if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return () => value
  if (typeof value !== 'bigint' || !Number.isSafeInteger(Number(value))) return undefined
  const number = Number(value)
  return () => number
}

const variables: Readonly<Record<string, Direct>> = {
  value: ({ value }) => value,
  key: ({ key }) => key,
  headers: ({ headers }) => headers,
  timestamp: ({ timestamp }) => timestamp,
  topic: ({ position }) => position.topic,
  partition: ({ position }) => position.partition,
  offset: ({ position }) => position.offset,
}

function path(node: ASTNode): Direct | undefined {
  const [name, ...fields] = fieldPath(node) ?? ['']
  const root = Object.hasOwn(variables, name) ? variables[name] : undefined
  if (root === undefined) return undefined
  const [first, second] = fields
  if (first === undefined) return root
  if (second === undefined) return (scope) => field(root(scope), first)
  if (fields.length === 2) return (scope) => field(field(root(scope), first), second)
  return (scope) => fields.reduce<Json | undefined>(field, root(scope))
}

export function field(value: Json | undefined, name: string): Json | undefined {
  return isJsonObject(value) && Object.hasOwn(value, name) ? value[name] : undefined
}

function list(nodes: readonly ASTNode[]): Direct | undefined {
  const items: Direct[] = []
  for (const node of nodes) {
    const read = direct(node)
    if (read === undefined) return undefined
    items.push(read)
  }
  return (scope) => {
    const result: Json[] = []
    for (const item of items) {
      const value = item(scope)
      if (value === undefined) return undefined
      result.push(value)
    }
    return result
  }
}

function object(entries: readonly (readonly [ASTNode, ASTNode])[]): Direct | undefined {
  const fields: (readonly [string, Direct])[] = []
  for (const [key, node] of entries) {
    const read = direct(node)
    // CEL leaves the unsafe names out of its maps; the evaluator shall decide.
    if (read === undefined || key.op !== 'value' || typeof key.args !== 'string' || unsafe.has(key.args))
      return undefined
    fields.push([key.args, read])
  }
  return (scope) => {
    const result: Record<string, Json> = {}
    for (const [name, read] of fields) {
      const value = read(scope)
      if (value === undefined) return undefined
      result[name] = value
    }
    return result
  }
}

const unsafe: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype'])
