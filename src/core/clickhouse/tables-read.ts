import { type Token, tokenize } from './sql.ts'

/** Words that may follow a table's name and are no alias of it. */
const clauses = new Set(
  (
    'FINAL SAMPLE PREWHERE WHERE GROUP HAVING WINDOW QUALIFY ORDER LIMIT OFFSET FETCH SETTINGS UNION EXCEPT INTERSECT FORMAT ' +
    'ON USING JOIN INNER LEFT RIGHT FULL CROSS OUTER ANY ALL ASOF SEMI ANTI PASTE GLOBAL ARRAY'
  ).split(' '),
)

/**
 * The tables that a query names after FROM, JOIN or IN, without the names that it gives to queries itself. A good guess: only
 * ClickHouse knows what its views read. Throws as `tokenize`.
 */
export function tablesRead(sql: string): string[] {
  const tokens = tokenize(sql)
  const own = new Set(tokens.flatMap((token, at) => (isOwn(tokens, at) ? [token.text] : [])))
  const found = new Set<string>()
  for (const [at, token] of tokens.entries()) {
    if (!isWord(token, 'FROM', 'JOIN', 'IN')) continue
    for (let next: number | undefined = at + 1; next !== undefined; ) {
      const table = tableAt(tokens, next)
      if (table === undefined) break
      if (!own.has(table.name)) found.add(table.name)
      next = isWord(token, 'FROM') ? afterComma(tokens, table.end) : undefined
    }
  }
  return [...found]
}

/** `name AS (`: a query with a name. */
function isOwn(tokens: readonly Token[], at: number): boolean {
  return isName(tokens[at]) && isWord(tokens[at + 1], 'AS') && isSign(tokens[at + 2], '(')
}

/** `table` or `database.table`; undefined for a subquery or a function. */
function tableAt(tokens: readonly Token[], at: number): { readonly name: string; readonly end: number } | undefined {
  const qualified = isSign(tokens[at + 1], '.') && isName(tokens[at + 2])
  const token = qualified ? tokens[at + 2] : tokens[at]
  const end = at + (qualified ? 3 : 1)
  if (token === undefined || !isName(tokens[at]) || !isName(token) || isSign(tokens[end], '(')) return undefined
  return { name: token.text, end }
}

/** Where the next table of `FROM a AS x, b` stands. */
function afterComma(tokens: readonly Token[], from: number): number | undefined {
  let at = from
  if (isWord(tokens[at], 'FINAL')) at += 1
  if (isWord(tokens[at], 'AS')) at += 2
  else if (isName(tokens[at]) && !clauses.has(tokens[at]?.text.toUpperCase() ?? '')) at += 1
  if (isWord(tokens[at], 'FINAL')) at += 1
  return isSign(tokens[at], ',') ? at + 1 : undefined
}

function isName(token: Token | undefined): token is Token {
  return token?.kind === 'word' || token?.kind === 'quoted'
}

function isWord(token: Token | undefined, ...words: readonly string[]): boolean {
  return token?.kind === 'word' && words.includes(token.text.toUpperCase())
}

function isSign(token: Token | undefined, text: string): boolean {
  return token?.kind === 'sign' && token.text === text
}
