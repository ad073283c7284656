import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { errorCode, errorMessage, InvalidInput } from '../core/errors.ts'
import type { TopicConfig } from '../core/event-log.ts'
import {
  type Environment,
  readAs,
  schemaAt,
  settingsFrom,
  substitute,
  type Variable,
  variableProblem,
} from './environment.ts'
import { check, type Issue } from './issues.ts'
import { InvalidConfig, type Problem, ProblemList } from './problem.ts'
import { alternatives, type RuntimeSettings, runtimeSchema } from './runtime-schema.ts'
import { serverFindings, withServerFiles } from './server-settings.ts'
import { keySpan, type Located, type Path, readYaml, spanAt } from './yaml.ts'

/** The settings of one process, with paths made absolute. Durations are milliseconds, sizes bytes. */
export interface Runtime extends RuntimeSettings {
  /** The file they came from, if there is one. */
  readonly file: string | undefined
  /** The folder that relative paths and globs start from. */
  readonly base: string
}

export interface LoadOptions {
  /** Must exist when it is given; otherwise `millrace.yaml` is read if there is one. */
  readonly file?: string | undefined
  readonly env: Environment
  readonly cwd: string
}

/**
 * Reads the runtime: what is set in `MILLRACE_…` outranks the file, the file outranks customary names such as
 * `CLICKHOUSE_URL`, and these outrank the defaults. Throws `InvalidConfig` with every problem at once.
 */
export async function loadRuntime({ file, env, cwd }: LoadOptions): Promise<Runtime> {
  const path = resolve(cwd, file ?? 'millrace.yaml')
  const text = await readIfThere(path, file !== undefined)
  const problems = new ProblemList(file ?? 'millrace.yaml', text ?? '')
  const root = text === undefined ? undefined : readYaml(text, problems)
  if (root !== undefined && root.entries === undefined && root.value !== null) {
    problems.add(root, {
      code: 'wrong_type',
      message: 'a runtime file is a mapping of settings, such as `data: ./data`',
    })
  }
  const written = root?.entries === undefined ? {} : fill(root, env, problems)
  const given = settingsFrom(env, runtimeSchema)
  const meant = given.filter(({ own }) => own).reduce(withVariable, written)
  const variables = given.filter((variable) => variable.own || !isDecided(meant, variable.path))
  const input = variables.reduce(withVariable, written)
  const { data, issues = [] } = check(runtimeSchema, input)

  const found = data === undefined ? issues : findings(data)
  const outside: Problem[] = []
  for (const issue of found) outside.push(...placed(issue, root, variables, problems))
  const all = [...outside, ...problems.all]
  if (data === undefined || all.some((problem) => problem.severity === 'error')) throw new InvalidConfig(all, text)

  const base = dirname(path)
  return {
    ...data,
    data: resolve(base, data.data),
    schemas: resolve(base, data.schemas),
    server: withServerFiles(data.server, base),
    ...(data.kafka && { kafka: { ...data.kafka, tls: data.kafka.tls && withFiles(data.kafka.tls, base) } }),
    ...(data.schemaRegistry && { schemaRegistry: withFiles(data.schemaRegistry, base) }),
    ...(data.redis && { redis: withFiles(data.redis, base) }),
    ...(data.clickhouse && { clickhouse: withFiles(data.clickhouse, base) }),
    file: text === undefined ? undefined : path,
    base,
  }
}

interface TlsFiles {
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
}

/** With the paths of PEM files made absolute. */
function withFiles<T extends TlsFiles>(settings: T, base: string): T {
  const absolute = (path: string | undefined) => path && resolve(base, path)
  const { ca, cert, key } = settings
  return { ...settings, ca: absolute(ca), cert: absolute(cert), key: absolute(key) }
}

/**
 * What the runtime says of a topic: its own settings, over the defaults of all. What neither names is left out, so that a
 * topic keeps what it was created with.
 */
export function topicConfig(runtime: Pick<Runtime, 'defaults' | 'topics'>, topic: string): Partial<TopicConfig> {
  const own = Object.hasOwn(runtime.topics, topic) ? runtime.topics[topic] : undefined
  const { partitions, retention, retentionBytes, compact } = { ...runtime.defaults, ...own }
  return {
    ...(partitions === undefined ? {} : { partitions }),
    ...(retention === undefined ? {} : { retentionMs: retention }),
    ...(retentionBytes === undefined ? {} : { retentionBytes }),
    ...(compact === undefined ? {} : { compact }),
  }
}

async function readIfThere(path: string, required: boolean): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (!required && errorCode(error) === 'ENOENT') return undefined
    const message = `the runtime file ${path} cannot be read: ${errorMessage(error)}`
    throw new InvalidInput({ code: 'runtime_unreadable', message, cause: error })
  }
}

/** The file's data with every `${NAME}` replaced, read as the type that the schema wants at its place. */
function fill(node: Located, env: Environment, problems: ProblemList, path: Path = []): unknown {
  if (node.items !== undefined) return node.items.map((item, index) => fill(item, env, problems, [...path, index]))
  if (node.entries !== undefined) {
    const filled = [...node.entries].map(([key, entry]) => [key, fill(entry.node, env, problems, [...path, key])])
    return Object.fromEntries(filled)
  }
  if (typeof node.value !== 'string' || !node.value.includes('${')) return node.value
  const { text, missing } = substitute(node.value, env)
  for (const name of missing) {
    problems.add(node, {
      code: 'variable_missing',
      message: `the environment variable ${name} is not set`,
      hint: `set it, or give a default: \${${name}:-value}`,
    })
  }
  return readAs(schemaAt(runtimeSchema, path), text)
}

function withVariable(settings: unknown, { path, value, own }: Variable): unknown {
  const [key, ...rest] = path
  if (key === undefined) return own || settings === undefined || settings === null ? value : settings
  // What is no mapping is left as it is, so that the check can say so.
  if (settings !== undefined && settings !== null && !isMapping(settings)) return settings
  return { ...settings, [key]: withVariable(settings?.[key], { name: '', path: rest, value, own }) }
}

/** Whether something else was chosen on purpose where a customary name would have its say. */
function isDecided(settings: unknown, [section = '', name]: readonly string[]): boolean {
  const chosen = isMapping(settings) ? settings[section] : undefined
  if (!isMapping(chosen)) return false
  return (alternatives[section] ?? []).some((other) => other !== name && (chosen[other] ?? null) !== null)
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** What is wrong with settings that are each well formed. */
function findings({ server, embedder }: RuntimeSettings): Issue[] {
  const issues: Issue[] = []
  issues.push(...serverFindings(server))
  const { url } = embedder.remote ?? {}
  if (url !== undefined && (new URL(url).username !== '' || new URL(url).password !== '')) {
    const message = 'no credentials in the address: set embedder.remote.apiKey'
    issues.push({ path: ['embedder', 'remote', 'url'], code: 'credentials_in_url', at: 'value', message })
  }
  return issues
}

/** Puts an issue where its value came from: a variable, answered as a problem, or the file, added to its list. */
function placed(
  issue: Issue,
  root: Located | undefined,
  variables: readonly Variable[],
  problems: ProblemList,
): Problem[] {
  const message = issue.path.some(isSecret) ? issue.message.replace(/, got .*$/s, '') : issue.message
  // What is missing is shown where its neighbours are.
  const path = issue.code === 'missing_option' ? issue.path.slice(0, -1) : issue.path
  const variable = variables.find((candidate) => path.every((step, index) => candidate.path[index] === step))
  const inFile = root !== undefined && keySpan(root, path) !== undefined
  if (variable !== undefined && (variable.own || !inFile)) return [variableProblem(variable.name, issue.code, message)]
  const place = root ?? { start: 0, end: 1, value: null, size: 1, depth: 1 }
  const span = issue.at === 'key' ? (keySpan(place, path) ?? spanAt(place, path)) : spanAt(place, path)
  const full = issue.path.join('.')
  problems.add(span, { code: issue.code, message: issue.at === 'key' ? message : `${full}: ${message}` })
  return []
}

function isSecret(name: unknown): boolean {
  return typeof name === 'string' && ['token', 'secret', 'password', 'apiKey', 'clientSecret', 'headers'].includes(name)
}

/** The runtime as it may be shown: secrets, and the credentials in addresses, are replaced by `***`. */
export function redacted(runtime: Runtime): unknown {
  return JSON.parse(
    JSON.stringify(runtime, (key, value: unknown) => {
      if (key === 'headers' && isMapping(value))
        return Object.fromEntries(Object.keys(value).map((name) => [name, '***']))
      if (isSecret(key) && value !== '') return '***'
      return typeof value === 'string' ? value.replace(/^(\w+:\/\/)[^/@\s]*@/, '$1***@') : value
    }),
  )
}
