import { z } from 'zod'
import type { Problem } from './problem.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** Names that other tools made customary, with the settings they mean. */
export const customary: Readonly<Record<string, readonly string[]>> = {
  KAFKA_BROKERS: ['kafka', 'brokers'],
  SCHEMA_REGISTRY_URL: ['schemaRegistry', 'url'],
  CLICKHOUSE_URL: ['clickhouse', 'url'],
  MILVUS_ADDRESS: ['vectors', 'milvus', 'address'],
  PINECONE_API_KEY: ['vectors', 'pinecone', 'apiKey'],
  REDIS_URL: ['redis', 'url'],
  HF_ENDPOINT: ['embedder', 'hub', 'url'],
  HF_TOKEN: ['embedder', 'hub', 'token'],
}

/** A setting that comes from an environment variable. */
export interface Variable {
  readonly name: string
  readonly path: readonly string[]
  readonly value: unknown
  /** Set on purpose for Millrace, so it outranks the file; a customary name does not. */
  readonly own: boolean
}

/**
 * The environment variables that are settings: the twin of `server.port` is `MILLRACE_SERVER_PORT`. Derived from the
 * schema, and read as the type it wants. An empty variable counts as not set.
 */
export function settingsFrom(environment: Environment, schema: z.ZodType): Variable[] {
  const variables: Variable[] = []
  const add = (name: string, path: readonly string[], own: boolean) => {
    const text = environment[name]
    const wanted = schemaAt(schema, path)
    if (text === undefined || text === '' || wanted === undefined) return
    variables.push({ name, path, value: readAs(wanted, text), own })
  }
  for (const [name, path] of Object.entries(customary)) add(name, path, false)
  for (const path of leaves(schema)) add(twinOf(path), path, true)
  return variables
}

/** `server.port` → `MILLRACE_SERVER_PORT`. */
export function twinOf(path: readonly string[]): string {
  return `MILLRACE_${path.map((name) => name.replace(/[A-Z]/g, (letter) => `_${letter}`)).join('_')}`.toUpperCase()
}

/** The paths of all settings that are one value; what stands under free names, or in a list of mappings, has no twin. */
export function leaves(schema: z.ZodType, path: readonly string[] = []): (readonly string[])[] {
  const inner = unwrap(schema)
  if (inner instanceof z.ZodRecord || isListOfMappings(inner)) return []
  if (!(inner instanceof z.ZodObject)) return [path]
  return Object.keys(inner.shape).flatMap((key) => {
    const member = schemaAt(inner, [key])
    return member === undefined ? [] : leaves(member, [...path, key])
  })
}

function isListOfMappings(schema: unknown): boolean {
  return schema instanceof z.ZodArray && unwrap(schema.element) instanceof z.ZodObject
}

/** The schema of the value at a path. */
export function schemaAt(schema: z.ZodType, path: readonly PropertyKey[]): z.ZodType | undefined {
  let current: unknown = schema
  for (const step of path) {
    const inner: unknown = unwrap(current)
    if (inner instanceof z.ZodObject) current = inner.shape[String(step)]
    else if (inner instanceof z.ZodRecord) current = inner.valueType
    else if (inner instanceof z.ZodArray) current = inner.element
    else return undefined
  }
  return current instanceof z.ZodType ? current : undefined
}

function unwrap(schema: unknown): unknown {
  const wrapped = schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault
  return wrapped ? unwrap(schema.unwrap()) : schema
}

/**
 * A text as the first of text, number and truth value that the schema takes. If it takes none, as the one that is at
 * least of the right type, so that the error is about the value: 99999 is no port, but it is a number.
 */
export function readAs(schema: z.ZodType | undefined, text: string): unknown {
  const candidates: unknown[] = [text]
  if (text.trim() !== '' && Number.isFinite(Number(text))) candidates.push(Number(text))
  if (text === 'true' || text === 'false') candidates.push(text === 'true')
  const taken = candidates.find((candidate) => schema?.safeParse(candidate).success)
  return taken ?? candidates.find((candidate) => schema !== undefined && isOfType(schema, candidate)) ?? text
}

function isOfType(schema: z.ZodType, value: unknown): boolean {
  const { error } = schema.safeParse(value)
  return error?.issues.every(({ code }) => code !== 'invalid_type' && code !== 'invalid_union') ?? true
}

/** A problem with a variable; it has no line. */
export function variableProblem(name: string, code: string, message: string, hint?: string): Problem {
  const place = { file: `environment variable ${name}`, line: 0, column: 0, length: 1 }
  return { ...place, severity: 'error', code, message, ...(hint === undefined ? {} : { hint }) }
}

const reference = /\$(\$?)\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}/g

/**
 * Replaces `${NAME}` and `${NAME:-default}`; `$${…}` stays as `${…}`. The default counts when the variable is not set
 * or empty. `missing` holds the names that are not set and have no default.
 */
export function substitute(text: string, environment: Environment): { text: string; missing: readonly string[] } {
  const missing: string[] = []
  const replaced = text.replace(reference, (whole, escaped: string, name: string, otherwise: string | undefined) => {
    if (escaped !== '') return whole.slice(1)
    const value = environment[name]
    if (otherwise !== undefined) return value === undefined || value === '' ? otherwise : value
    if (value === undefined) missing.push(name)
    return value ?? ''
  })
  return { text: replaced, missing }
}
