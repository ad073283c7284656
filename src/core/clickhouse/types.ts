import { InvalidInput } from '../errors.ts'

/** A ClickHouse type as written: `Map(String, Array(UInt8))` is a name with two arguments. */
export interface TypeNode {
  readonly name: string
  /** Each as written, such as `3`, `'UTC'`, `a String` or `'billing' = 1`. */
  readonly args: readonly string[]
}

/** Throws `InvalidInput` (`bad_column_type`) for a text that is no type: unbalanced, or more than one. */
export function parseType(text: string): TypeNode {
  const match = text.trim().match(/^([A-Za-z_][\w ]*?)\s*(?:\(([\s\S]*)\))?$/)
  const name = match?.[1]
  if (name === undefined) throw badType(text)
  const inner = match?.[2]
  return { name, args: inner === undefined ? [] : splitArguments(inner, text) }
}

/** Whether the text has the form of a type. */
export function isType(text: string): boolean {
  try {
    parseType(text)
    return true
  } catch {
    return false
  }
}

function splitArguments(inner: string, whole: string): string[] {
  const args: string[] = []
  let depth = 0
  let quote = ''
  let start = 0
  for (let at = 0; at < inner.length; at += 1) {
    const char = inner[at] ?? ''
    if (quote !== '') {
      if (char === '\\') at += 1
      else if (char === quote) quote = ''
    } else if (char === "'" || char === '`' || char === '"') quote = char
    else if (char === '(') depth += 1
    else if (char === ')') depth -= 1
    else if (char === ';') throw badType(whole)
    else if (char === ',' && depth === 0) {
      args.push(inner.slice(start, at).trim())
      start = at + 1
    }
    if (depth < 0) throw badType(whole)
  }
  if (depth !== 0 || quote !== '') throw badType(whole)
  const last = inner.slice(start).trim()
  if (last !== '' || args.length > 0) args.push(last)
  return args
}

function badType(text: string): InvalidInput {
  return new InvalidInput({
    code: 'bad_column_type',
    message: `"${text}" is no ClickHouse type`,
    hint: 'write it like String, Nullable(Int64) or DateTime64(3); brackets and quotes come in pairs',
  })
}

/** The type that values of a `Nullable` or `LowCardinality` have. */
export function unwrap(type: TypeNode): TypeNode {
  const inner = type.args[0]
  if ((type.name === 'Nullable' || type.name === 'LowCardinality') && inner !== undefined)
    return unwrap(parseType(inner))
  return type
}
