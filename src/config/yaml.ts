import { isAlias, isMap, isScalar, isSeq, type Node, parseDocument, type Scalar } from 'yaml'
import { errorMessage } from '../core/errors.ts'
import type { Finding, ProblemList, Span } from './problem.ts'

/** A YAML value with the places it came from. What an alias names is shared, so nothing is ever copied. */
export interface Located extends Span {
  /** Plain data: objects, arrays, strings, numbers, booleans, null. */
  readonly value: unknown
  readonly entries?: ReadonlyMap<string, Entry> | undefined
  readonly items?: readonly Located[] | undefined
  readonly scalar?: Scalar | undefined
  /** How many values this is, and how deep, once every alias is written out. */
  readonly size: number
  readonly depth: number
}

interface Entry {
  readonly key: Span
  readonly node: Located
}

export type Path = readonly PropertyKey[]

/** Far above any pipeline; keeps a hostile file from costing more than a blink. */
const maxCharacters = 1_000_000
const maxValues = 100_000
const maxDepth = 64

const structural: ReadonlySet<string> = new Set(['UNEXPECTED_TOKEN', 'BAD_INDENT', 'MISSING_CHAR'])

const one = { size: 1, depth: 1 }

/**
 * Reads YAML 1.2 (anchors, aliases and `<<` allowed, custom tags not) without ever throwing: what is wrong goes to
 * `problems`. Undefined when there is nothing to go on with: after a syntax error the rest would be read wrongly.
 */
export function readYaml(text: string, problems: ProblemList): Located | undefined {
  const whole = { start: 0, end: 1 }
  if (text.length > maxCharacters) {
    problems.add(whole, { code: 'file_too_large', message: `the file is larger than ${maxCharacters / 1e6} MB` })
    return undefined
  }
  try {
    const document = parseDocument(text, { prettyErrors: false, resolveKnownTags: false, stringKeys: true })
    for (const { pos, code, message } of [...document.errors, ...document.warnings]) {
      // Once the structure is lost, whatever follows looks unexpected and says nothing new.
      if (structural.has(code) && problems.has('yaml_syntax')) continue
      problems.add({ start: pos[0], end: pos[1] }, explain(code, message, text, pos[0]))
    }
    if (document.contents === null) return undefined
    const root = new Reader(problems).read(document.contents, 0)
    if (problems.has('yaml_syntax')) return undefined
    if (root.size <= maxValues && root.depth <= maxDepth) return root
    problems.add(whole, {
      code: 'file_too_large',
      message: `with every alias written out the file has more than ${maxValues} values, or more than ${maxDepth} levels`,
    })
  } catch (error) {
    problems.add(whole, { code: 'yaml_syntax', message: `the file cannot be read as YAML: ${errorMessage(error)}` })
  }
  return undefined
}

/** The value at a path, or undefined where the path leaves the file. */
export function nodeAt(root: Located, path: Path): Located | undefined {
  let node: Located | undefined = root
  for (const step of path)
    node = typeof step === 'number' ? node?.items?.[step] : node?.entries?.get(String(step))?.node
  return node
}

/**
 * The place to show for a path: its value, or the nearest key or value around it that is in the file, or `outside`.
 * A collection is shown by its key, since its own text may be pages long.
 */
export function spanAt(root: Located, path: Path, outside: Span = firstKey(root)): Span {
  for (let length = path.length; length > 0; length -= 1) {
    const found = path.slice(0, length)
    const node = nodeAt(root, found)
    if (node === undefined) continue
    if (length === path.length && node.scalar !== undefined && node.end > node.start) return node
    return keySpan(root, found) ?? (node.entries === undefined ? node : firstKey(node))
  }
  return outside
}

function firstKey(node: Located): Span {
  const first = node.entries?.values().next().value
  return first?.key ?? { start: node.start, end: node.start + 1 }
}

/** The key that a path ends in, or undefined when it ends in an item of a list. */
export function keySpan(root: Located, path: Path): Span | undefined {
  return nodeAt(root, path.slice(0, -1))?.entries?.get(String(path.at(-1)))?.key
}

class Reader {
  readonly #problems: ProblemList
  /** `undefined` while the anchored value is still being read: an alias to it there would never end. */
  readonly #anchors = new Map<string, Located | undefined>()
  #merged = 0

  constructor(problems: ProblemList) {
    this.#problems = problems
  }

  read(node: unknown, depth: number): Located {
    if (isAlias(node)) return this.#alias(node.source, spanOf(node))
    if (!isNode(node)) return { value: null, start: 0, end: 0, ...one }
    const anchor = 'anchor' in node && typeof node.anchor === 'string' ? node.anchor : undefined
    if (anchor !== undefined) this.#anchors.set(anchor, undefined)
    const located = this.#value(node, depth)
    if (anchor !== undefined) this.#anchors.set(anchor, located)
    return located
  }

  #alias(name: string, span: Span): Located {
    const target = this.#anchors.get(name)
    if (target !== undefined) return target
    const message = this.#anchors.has(name)
      ? `the alias *${name} stands inside the value that it names`
      : `the alias *${name} has no anchor &${name} before it`
    this.#problems.add(span, { code: 'yaml_syntax', message })
    return { ...span, value: null, ...one }
  }

  #value(node: Node, depth: number): Located {
    const span = spanOf(node)
    if (isScalar(node)) return { ...span, value: node.value, scalar: node, ...one }
    if (depth > maxDepth) {
      this.#problems.add(span, { code: 'file_too_large', message: `values are nested more than ${maxDepth} deep` })
      return { ...span, value: null, ...one }
    }
    if (isSeq(node)) {
      const items = node.items.map((item) => this.read(item, depth + 1))
      return { ...span, items, value: items.map((item) => item.value), ...extent(items) }
    }
    return this.#map(node, span, depth)
  }

  #map(node: Node, span: Span, depth: number): Located {
    const entries = new Map<string, Entry>()
    const merged: Located[] = []
    for (const pair of isMap(node) ? node.items : []) {
      const key = isScalar(pair.key) ? String(pair.key.value) : ''
      const keySpan = isNode(pair.key) ? spanOf(pair.key) : span
      const value = pair.value === null ? { ...keySpan, value: null, ...one } : this.read(pair.value, depth + 1)
      if (key === '<<') merged.push(...(value.items ?? [value]))
      else entries.set(key, { key: keySpan, node: value })
    }
    for (const source of merged) {
      this.#merged += source.entries?.size ?? 0
      if (this.#merged > maxValues) throw new Error(`more than ${maxValues} keys are merged with <<`)
      for (const [key, entry] of source.entries ?? []) if (!entries.has(key)) entries.set(key, entry)
    }
    const value = Object.fromEntries([...entries].map(([key, entry]) => [key, entry.node.value]))
    return { ...span, entries, value, ...extent([...entries.values()].map((entry) => entry.node)) }
  }
}

function isNode(value: unknown): value is Node {
  return isScalar(value) || isMap(value) || isSeq(value) || isAlias(value)
}

function spanOf(node: Node): Span {
  const [start = 0, end = 0] = node.range ?? []
  return { start, end }
}

function extent(parts: readonly Located[]): Pick<Located, 'size' | 'depth'> {
  let { size, depth } = one
  for (const part of parts) {
    size += part.size
    depth = Math.max(depth, part.depth + 1)
  }
  return { size, depth }
}

/** YAML's own errors in the words of someone who writes a pipeline. */
function explain(code: string, message: string, text: string, at: number): Finding {
  const syntax = { code: 'yaml_syntax' }
  const place = /^\S{1,30}/.exec(text.slice(at, at + 30))?.[0] ?? ''
  switch (code) {
    case 'DUPLICATE_KEY':
      return { code: 'duplicate_key', message: 'this key is given twice; keep one of them' }
    case 'TAB_AS_INDENT':
      return { ...syntax, message: 'a tab is used to indent; YAML is indented with spaces' }
    case 'BLOCK_AS_IMPLICIT_KEY':
      return {
        ...syntax,
        message: '": " inside an unquoted value would start another key here',
        hint: 'put the whole value in quotes, or use the block form: `key: >-` with the text on the next line',
      }
    case 'BAD_SCALAR_START':
      return { ...syntax, message: `a value cannot begin with ${place.charAt(0)}`, hint: 'put it in quotes' }
    case 'MULTIPLE_DOCS':
      return { ...syntax, message: 'a file holds one document; remove everything from the second `---` on' }
    case 'TAG_RESOLVE_FAILED':
      return { ...syntax, message: `the tag ${place} is not supported; write a plain value` }
    case 'NON_STRING_KEY':
      return { ...syntax, message: 'a key must be text', hint: 'put it in quotes' }
    case 'BAD_INDENT':
    case 'UNEXPECTED_TOKEN':
    case 'MISSING_CHAR':
      return { ...syntax, ...explainStructure(message, text, at, place) }
    default:
      return { ...syntax, message: lowerFirst(message) }
  }
}

function explainStructure(message: string, text: string, at: number, place: string): Omit<Finding, 'code'> {
  const hint = 'check quotes, brackets and indentation around this place'
  if (text.slice(at - 1, at + 1) === '${') {
    return { message: '"${" begins a mapping here', hint: 'put the whole value in quotes' }
  }
  const closing = /end with an? (.)$/.exec(message)?.[1] ?? /Missing closing "?(.)quote/.exec(message)?.[1]
  if (closing !== undefined) return { message: `something before this place is not closed with "${closing}"`, hint }
  return message.startsWith('Unexpected') && place !== ''
    ? { message: `did not expect ${JSON.stringify(place)} here`, hint }
    : { message: lowerFirst(message), hint }
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}
