import type { AnyDefinition, Catalog, Path } from '../core/component.ts'
import { didYouMean } from '../core/nearest.ts'
import { check, type Issue } from './issues.ts'
import type { Finding, ProblemList, Span } from './problem.ts'
import { keySpan, type Located, spanAt } from './yaml.ts'

/** A component as it stands in the file. */
export interface Use<D extends AnyDefinition = AnyDefinition> {
  readonly definition: D
  /** Unique within the pipeline. */
  readonly component: string
  /** As the definition's schema takes them, with the short form written out. */
  readonly options: unknown
  /** Whether the options fit the schema; if not, nothing may be concluded from them. */
  readonly valid: boolean
  readonly key: Span
  readonly node: Located
  /** Given just the main option's value. */
  readonly short: boolean
}

const places = { source: 'source', processor: 'processors', sink: 'sinks' } as const
export type Kind = keyof typeof places

/** Reads components out of one file, names them and checks their options. */
export class ComponentReader {
  readonly #catalog: Catalog
  readonly #problems: ProblemList
  readonly #counts = new Map<string, number>()

  constructor(catalog: Catalog, problems: ProblemList) {
    this.#catalog = catalog
    this.#problems = problems
  }

  /** `- name: options`, or `- name` for a component without options. Undefined when it cannot be told what it is. */
  read<D extends AnyDefinition>(kind: Kind, node: Located, definitions: ReadonlyMap<string, D>): Use<D> | undefined {
    const head = this.#head(kind, node)
    if (head === undefined) return undefined
    const definition = definitions.get(head.name)
    if (definition === undefined) {
      this.#problems.add(head.key, this.#unknown(kind, head.name, definitions))
      return undefined
    }
    return this.#use(definition, head.key, head.options)
  }

  #head(kind: Kind, node: Located): { name: string; key: Span; options: Located } | undefined {
    const absent = { start: node.start, end: node.end, value: null, size: 1, depth: 1 }
    if (typeof node.value === 'string') return { name: node.value, key: node, options: absent }
    const [first, second] = [...(node.entries ?? [])]
    if (first === undefined) {
      this.#problems.add(node, {
        code: 'wrong_type',
        message: `expected a ${kind}: its name and its options, such as \`name: { option: value }\``,
      })
      return undefined
    }
    if (second !== undefined) {
      const indented = first[1].node.value === null
      this.#problems.add(second[1].key, {
        code: 'several_components',
        message: `a ${kind} is one key with its options, but "${second[0]}" stands beside "${first[0]}"`,
        hint: indented
          ? `indent the options of "${first[0]}" further than its name`
          : kind === 'source'
            ? 'a pipeline has one source'
            : `begin each of the ${places[kind]} with its own "- "`,
      })
    }
    return { name: first[0], key: first[1].key, options: first[1].node }
  }

  #unknown(kind: Kind, name: string, definitions: ReadonlyMap<string, AnyDefinition>): Finding {
    const known = kind === 'source' ? ['topic', ...definitions.keys()] : [...definitions.keys()]
    const message = `unknown ${kind} "${name}"${didYouMean(name, known)}`
    const elsewhere = this.#placeOf(name)
    const hint = elsewhere === undefined ? `known: ${known.join(', ')}` : `"${name}" belongs under "${elsewhere}"`
    return { code: `unknown_${kind}`, message, hint }
  }

  #placeOf(name: string): string | undefined {
    const { sources, processors, sinks } = this.#catalog
    if (processors.has(name)) return places.processor
    if (sinks.has(name)) return places.sink
    return sources.has(name) ? places.source : undefined
  }

  #use<D extends AnyDefinition>(definition: D, key: Span, node: Located): Use<D> {
    const { main, name } = definition
    const short = main !== undefined && node.value !== null && node.entries === undefined
    const options = short ? { [main]: node.value } : (node.value ?? {})
    const { issues = [] } = check(definition.options, options)
    const use = { definition, component: this.#unique(name), options, valid: issues.length === 0, key, node, short }
    for (const issue of issues) {
      const message =
        issue.code === 'missing_option' ? `${name}: the option ${issue.message}` : `${name}: ${issue.message}`
      this.#problems.add(issueSpan(use, issue), { code: issue.code, message })
    }
    return use
  }

  #unique(name: string): string {
    const count = (this.#counts.get(name) ?? 0) + 1
    this.#counts.set(name, count)
    return count === 1 ? name : `${name}.${count}`
  }
}

/** A path into the options as a path into the file: the short form has no key for the main option. */
export function pathInFile({ definition, short }: Use, path: readonly PropertyKey[]): readonly PropertyKey[] {
  return short && path[0] === definition.main ? path.slice(1) : path
}

/** Where an option stands, or the component's name when it is not written in the file. */
export function optionSpan(use: Use, path: Path): Span {
  return spanIn(use, pathInFile(use, path))
}

function issueSpan(use: Use, issue: Issue): Span {
  const path = pathInFile(use, issue.path)
  if (issue.at === 'key') return keySpan(use.node, path) ?? spanIn(use, path)
  // What is missing is shown by the component's name, or the key it is missing under.
  if (issue.code !== 'missing_option') return spanIn(use, path)
  return path.length < 2 ? use.key : spanIn(use, path.slice(0, -1))
}

function spanIn({ node, key }: Use, path: readonly PropertyKey[]): Span {
  if (path.length === 0) return node.scalar === undefined || node.value === null ? key : node
  return node.entries === undefined && node.items === undefined ? key : spanAt(node, path, key)
}
