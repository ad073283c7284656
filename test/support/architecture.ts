import { posix } from 'node:path'

export interface Import {
  readonly specifier: string
  /** `type` imports are erased by the compiler; `lazy` ones are loaded when they are reached. */
  readonly kind: 'value' | 'type' | 'lazy'
}

/** Path of each file from the project's root, with its text. */
export type Sources = ReadonlyMap<string, string>

/**
 * Which parts a part may import, besides itself. A name that ends in `.ts` allows that one file, `connectors/*` every
 * connector. A part that is not named here must not exist.
 */
const allowed: Readonly<Record<string, readonly string[]>> = {
  'src/core': [],
  'src/config': ['src/core'],
  'src/expressions': ['src/core'],
  'src/serde': ['src/core'],
  'src/embedding': ['src/core'],
  'src/similarity': ['src/core'],
  'src/search': ['src/core'],
  'src/processors': ['src/core', 'src/similarity', 'src/search'],
  'src/access': ['src/core'],
  'src/queries': ['src/core'],
  'src/live': ['src/core', 'src/similarity', 'src/queries'],
  'src/telemetry': ['src/core'],
  'src/engine': ['src/core', 'src/telemetry'],
  'src/migration': ['src/core', 'src/engine', 'src/telemetry'],
  'src/server': ['src/core', 'src/access', 'src/live', 'src/queries', 'src/search', 'src/telemetry'],
  'src/client': ['src/live/protocol.ts'],
  'src/react': ['src/client', 'src/live/protocol.ts'],
  'src/dashboard': ['src/client', 'src/live/protocol.ts'],
  'connectors/*': ['src/core'],
  connectors: ['src/core', 'connectors/*'],
}

/** The parts that wire everything together. */
const seesEverything = new Set(['src/cli'])

/** What the parts that must run anywhere may take from outside. */
const allowedPackages: Readonly<Record<string, readonly string[]>> = {
  'src/core': ['zod', 'fastest-levenshtein'],
  'src/client': [],
}

/** Every import, re-export and dynamic import of a file. */
export function importsOf(text: string): Import[] {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, '')
  const imports: Import[] = []
  for (const match of code.matchAll(/^\s*(?:import|export)\s+(type\s+)?(?:[\w$*{},\s]+?\sfrom\s+)?'([^']+)'/gm)) {
    if (match[2] !== undefined) imports.push({ specifier: match[2], kind: match[1] === undefined ? 'value' : 'type' })
  }
  for (const match of code.matchAll(/\bimport\(\s*'([^']+)'/g)) {
    if (match[1] !== undefined) imports.push({ specifier: match[1], kind: 'lazy' })
  }
  return imports
}

/**
 * Everything in which the sources break the layout: a part that imports what it must not, an optional package that is
 * loaded at start-up, an import of a file that is not there, and files that need each other to load.
 */
export function architectureProblems(sources: Sources, optionalPackages: ReadonlySet<string>): string[] {
  const problems: string[] = []
  const edges = new Map<string, string[]>()

  for (const [file, text] of sources) {
    if (!isPart(file)) problems.push(`${file} belongs to no part of the layout`)
    const needed: string[] = []
    for (const { specifier, kind } of importsOf(text)) {
      if (!specifier.startsWith('.')) {
        problems.push(...packageProblems(file, specifier, kind, optionalPackages))
        continue
      }
      const target = resolveFile(file, specifier, sources)
      if (target === undefined) {
        problems.push(`${file} imports ${specifier}, which is not there`)
        continue
      }
      if (!mayImport(file, target)) problems.push(`${file} must not import ${target}`)
      if (kind === 'value') needed.push(target)
    }
    edges.set(file, needed)
  }
  return [...problems, ...cycles(edges).map((path) => `cycle: ${path.join(' → ')}`)]
}

function packageProblems(
  file: string,
  specifier: string,
  kind: Import['kind'],
  optionalPackages: ReadonlySet<string>,
): string[] {
  const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
  const packages = allowedPackages[partOf(file)]
  if (packages !== undefined && !packages.includes(name)) return [`${file} must not import ${specifier}`]
  if (optionalPackages.has(name) && kind === 'value') {
    return [`${file} must load ${name} with import() when it is first needed: it may not be installed`]
  }
  return []
}

function resolveFile(from: string, specifier: string, sources: Sources): string | undefined {
  const path = posix.join(posix.dirname(from), specifier)
  // Style sheets and pictures of the dashboard are the bundler's business.
  if (sources.has(path) || !/\.[cm]?[jt]sx?$/.test(path)) return path
  return undefined
}

function mayImport(from: string, to: string): boolean {
  const part = partOf(from)
  const target = partOf(to)
  if (part === target || seesEverything.has(part)) return true
  const rule = part.startsWith('connectors/') ? 'connectors/*' : part
  const isConnector = target.startsWith('connectors/')
  return (allowed[rule] ?? []).some(
    (name) => name === to || name === target || (isConnector && name === 'connectors/*'),
  )
}

function isPart(file: string): boolean {
  const part = partOf(file)
  return part in allowed || seesEverything.has(part) || part.startsWith('connectors/')
}

/** `src/engine`, `connectors/clickhouse`, or `connectors` for the list of them all. */
function partOf(file: string): string {
  const [root = '', second = ''] = file.split('/')
  if (root !== 'connectors') return `${root}/${second}`
  if (second === 'index.ts') return root
  return `${root}/${second.replace(/\.ts$/, '')}`
}

/** Each cycle once, as the path that leads back to its first file. */
function cycles(edges: ReadonlyMap<string, readonly string[]>): string[][] {
  const found: string[][] = []
  const done = new Set<string>()
  const path: string[] = []
  const visit = (file: string) => {
    const at = path.indexOf(file)
    if (at >= 0) {
      found.push([...path.slice(at), file])
      return
    }
    if (done.has(file)) return
    path.push(file)
    for (const next of edges.get(file) ?? []) visit(next)
    path.pop()
    done.add(file)
  }
  for (const file of edges.keys()) visit(file)
  return found
}
