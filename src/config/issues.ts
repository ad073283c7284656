import { z } from 'zod'
import { didYouMean, nearestName } from '../core/nearest.ts'

/** One thing that is wrong with a value, in plain words. */
export interface Issue {
  readonly path: readonly PropertyKey[]
  readonly code: string
  readonly message: string
  /** `key`: the key that the path ends in is what is wrong, not its value. */
  readonly at: 'key' | 'value'
  /** The known name that a misspelt key most likely means. */
  readonly meant?: string | undefined
}

type ZodIssue = z.core.$ZodIssue
type RawIssue = z.core.$ZodRawIssue
export type Checked<T> =
  | { readonly data: T; readonly issues?: never }
  | { readonly data?: never; readonly issues: readonly Issue[] }

/** Checks a value against a schema. Messages that the schema's author wrote are kept, the others are ours. */
export function check<T>(schema: z.ZodType<T>, value: unknown): Checked<T> {
  // zod's issue for an unknown key does not name the known ones, so they are noted while the issue is made.
  const known = new WeakMap<object, readonly string[]>()
  const result = schema.safeParse(value, {
    reportInput: true,
    error: (issue) => {
      if (issue.code === 'unrecognized_keys') known.set(issue.keys, keysOf(issue.inst))
      return plainMessage(issue)
    },
  })
  if (result.success) return { data: result.data }
  return { issues: withoutEchoes(result.error.issues.flatMap((issue) => explain(issue, known))) }
}

/** A misspelt key is one mistake, though the key that was meant is missing too, and what is around it does not add up. */
function withoutEchoes(issues: readonly Issue[]): Issue[] {
  const place = (path: readonly PropertyKey[]) => JSON.stringify(path.map(String))
  const misspelt = issues.filter(({ meant }) => meant !== undefined)
  const meant = new Set(misspelt.map(({ path, meant: name = '' }) => place([...path.slice(0, -1), name])))
  const around = new Set(misspelt.map(({ path }) => place(path.slice(0, -1))))
  return issues.filter(({ code, path }) => {
    if (code === 'missing_option') return !meant.has(place(path))
    return code !== 'bad_value' || !around.has(place(path))
  })
}

function keysOf(schema: unknown): readonly string[] {
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : []
}

function explain(issue: ZodIssue, known: WeakMap<object, readonly string[]>): Issue[] {
  const { path } = issue
  if (isOuter(issue) && issue.input === undefined) {
    return [{ path, code: 'missing_option', at: 'value', message: `"${String(path.at(-1))}" is missing` }]
  }
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => unknownKey([...path, key], key, known.get(issue.keys) ?? []))
    case 'invalid_union': {
      const branch = meantBranch(issue.errors)
      if (branch === undefined) break
      return branch.flatMap((inner) => explain({ ...inner, path: [...path, ...inner.path] }, known))
    }
    case 'invalid_key':
      return [{ path, code: 'bad_value', at: 'key', message: issue.issues[0]?.message ?? issue.message }]
    case 'invalid_type':
      return [{ path, code: 'wrong_type', at: 'value', message: issue.message }]
  }
  return [{ path, code: 'bad_value', at: 'value', message: issue.message }]
}

function unknownKey(path: readonly PropertyKey[], key: string, known: readonly string[]): Issue {
  const others = known.length === 0 ? '' : `; known here: ${known.join(', ')}`
  const message = `unknown key "${key}"${didYouMean(key, known) || others}`
  return { path, code: 'unknown_key', at: 'key', message, meant: nearestName(key, known) }
}

/** Of a union's branches the one whose outer type fits, so that the error says what is wrong inside it. */
function meantBranch(branches: readonly (readonly ZodIssue[])[]): readonly ZodIssue[] | undefined {
  const fitting = branches.filter((issues) => !issues.some((issue) => issue.path.length === 0 && isOuter(issue)))
  return fitting.length === 1 ? fitting[0] : undefined
}

/** Whether it is about what kind of value there is, not about what is in it. */
function isOuter(issue: ZodIssue): boolean {
  if (issue.code === 'invalid_union') return meantBranch(issue.errors) === undefined
  return issue.code === 'invalid_type' || issue.code === 'invalid_value'
}

function plainMessage(issue: RawIssue): string | undefined {
  const got = `, got ${show(issue.input)}`
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${typeName(issue.expected)}${got}`
    case 'invalid_value':
      return `expected ${oneOf(issue.values.map((value) => JSON.stringify(value) ?? String(value)))}${got}${near(issue)}`
    case 'too_small':
      return `${bound('at least', 'more than', issue.minimum, issue.inclusive, issue.origin)}${got}`
    case 'too_big':
      return `${bound('at most', 'less than', issue.maximum, issue.inclusive, issue.origin)}${got}`
    case 'not_multiple_of':
      return `expected a multiple of ${issue.divisor}${got}`
    case 'invalid_format':
      return issue.format === 'regex'
        ? `expected text that matches ${issue.pattern ?? 'the pattern'}${got}`
        : `expected a valid ${issue.format}${got}`
    case 'invalid_union':
      return unionMessage(issue.errors, got)
    default:
      return undefined
  }
}

function near(issue: RawIssue): string {
  if (issue.code !== 'invalid_value' || typeof issue.input !== 'string') return ''
  const names = issue.values.filter((value) => typeof value === 'string')
  return didYouMean(issue.input, names)
}

function unionMessage(branches: readonly (readonly ZodIssue[])[] | undefined, got: string): string {
  const outer = (branches ?? []).flatMap((issues) => issues.filter((issue) => issue.path.length === 0).slice(0, 1))
  const types = outer.flatMap((issue) => (issue.code === 'invalid_type' ? [typeName(issue.expected)] : []))
  return types.length > 0 ? `expected ${oneOf([...new Set(types)])}${got}` : `this value does not fit${got}`
}

function typeName(expected: string): string {
  const names: Readonly<Record<string, string>> = {
    string: 'text',
    number: 'a number',
    int: 'a whole number',
    boolean: 'true or false',
    array: 'a list',
    object: 'a mapping of keys to values',
    record: 'a mapping of keys to values',
    null: 'nothing',
    never: 'nothing',
  }
  return names[expected] ?? expected
}

function bound(
  inclusive: string,
  exclusive: string,
  limit: unknown,
  closed: boolean | undefined,
  origin: string,
): string {
  const units: Readonly<Record<string, string>> = {
    string: ' characters',
    array: ' items',
    set: ' items',
    object: ' keys',
  }
  if (limit === 1 && closed !== false && origin in units && inclusive === 'at least') {
    return origin === 'string' ? 'expected text that is not empty' : 'expected at least one entry'
  }
  return `expected ${closed === false ? exclusive : inclusive} ${String(limit)}${units[origin] ?? ''}`
}

function oneOf(choices: readonly string[]): string {
  const last = choices.at(-1) ?? ''
  return choices.length < 2 ? last : `${choices.slice(0, -1).join(', ')} or ${last}`
}

/** A value as a person would point at it: short, and saying its kind where that is the news. */
function show(value: unknown): string {
  if (value === undefined || value === null) return 'nothing'
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  if (typeof value === 'object') return Object.keys(value).length === 0 ? 'an empty mapping' : 'a mapping'
  return String(value)
}
