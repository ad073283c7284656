import { InvalidInput } from '../errors.ts'

export interface Token {
  readonly kind: 'word' | 'quoted' | 'string' | 'number' | 'sign'
  /** The text; of a quoted name what stands between the quotes, escapes and all. */
  readonly text: string
}

const lexis =
  /([ \t\r\n]+|--[^\n]*|#[! ][^\n]*|\/\*(?:(?!\/\*)[\s\S])*?\*\/)|([A-Za-z_]\w*)|(\d[\w.]*)|('(?:[^'\\]|\\[\s\S]|'')*')|(`(?:[^`\\]|\\[\s\S]|``)*`|"(?:[^"\\]|\\[\s\S]|"")*")|([!#%&()*+,\-./:;<=>?@[\]^{|}~])/gy

/**
 * Cuts SQL as ClickHouse does, as far as strings, quoted names and comments are concerned. What it could take otherwise than
 * ClickHouse (comments in comments, `$tag$` strings, typographic quotes and dashes) is refused outside of strings,
 * so nothing can hide from who reads the tokens. Throws `InvalidInput` (`query_failed`).
 */
export function tokenize(sql: string): Token[] {
  const tokens: Token[] = []
  const rule = new RegExp(lexis)
  let at = 0
  while (at < sql.length) {
    const match = rule.exec(sql)
    if (match === null) throw unreadable(sql, at)
    at = rule.lastIndex
    const [, , word, number, string, quoted, sign] = match
    if (word !== undefined) tokens.push({ kind: 'word', text: word })
    else if (number !== undefined) tokens.push({ kind: 'number', text: number })
    else if (string !== undefined) tokens.push({ kind: 'string', text: string })
    else if (quoted !== undefined) tokens.push({ kind: 'quoted', text: quoted.slice(1, -1) })
    else if (sign !== undefined) {
      if (sign === '/' && sql[at] === '*') throw unreadable(sql, at - 1)
      tokens.push({ kind: 'sign', text: sign })
    }
  }
  return tokens
}

function unreadable(sql: string, at: number): InvalidInput {
  const found = sql.slice(at, at + 20).split('\n')[0]
  return new InvalidInput({
    code: 'query_failed',
    message: `The query cannot be read at character ${at + 1}: ${found}. Quotes and comments have to be closed, and only strings may hold signs beyond ASCII`,
  })
}

export function quoteName(name: string): string {
  return `\`${name.replace(/[\\`]/g, '\\$&')}\``
}

export function quoteString(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`
}

/** An expression that goes into a table's definition. Throws `InvalidInput` unless it is a single one. */
export function singleExpression(text: string, option: string): string {
  let depth = 0
  const problem = (why: string) =>
    new InvalidInput({ code: 'bad_table_expression', message: `${option}: "${text}" ${why}` })
  if (/--|\/\*|#/.test(text)) throw problem('must not have comments')
  for (const token of tokenize(text)) {
    if (token.kind !== 'sign') continue
    if (token.text === ';') throw problem('must be one expression')
    if (token.text === '(') depth += 1
    if (token.text === ')') depth -= 1
    if (depth < 0) break
  }
  if (depth !== 0) throw problem('has unbalanced parentheses')
  return text.trim()
}
