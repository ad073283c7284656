import { InvalidRequest } from './problem.ts'

/**
 * Parses JSON. Throws `InvalidRequest` (400, `bad_json`) that says where the text stops being JSON. `line` is the line
 * of the request that the text begins on.
 */
export function parseJson(text: string, line = 1): unknown {
  try {
    return JSON.parse(text)
  } catch {
    const at = firstJsonError(text)
    const before = text.slice(0, at).split('\n')
    const column = (before.at(-1) ?? '').length + 1
    const found = at >= text.length ? 'it ends too early' : `unexpected ${JSON.stringify(text.slice(at, at + 12))}`
    throw new InvalidRequest(400, {
      code: 'bad_json',
      message: `The body is not JSON: ${found} at line ${line + before.length - 1}, column ${column}.`,
      hint: text.trimStart().startsWith("'") ? 'Text needs double quotes.' : undefined,
    })
  }
}

/**
 * Offset of the first character at which the text cannot be continued as JSON; its length if it ends too early. A
 * string or number that is wrong counts from its beginning. Takes some 10 ns a character, whatever the text is.
 */
export function firstJsonError(text: string): number {
  const open: string[] = []
  let expected: Expected = 'value'
  let at = skipSpace(text, 0)
  while (at < text.length) {
    const first = text[at] ?? ''
    const end = endOfToken(text, at, first)
    const next: Expected | undefined = end < 0 ? undefined : step(expected, first, open)
    if (next === undefined) return at
    expected = next
    at = skipSpace(text, end)
  }
  return at
}

/** What may come next: `end` is nothing more, `more` a comma or the end of an array or object. */
type Expected = 'value' | 'value or end' | 'key' | 'key or end' | 'colon' | 'more' | 'end'

/** The state after a token that begins so, or undefined if it cannot stand here. `open` has the open brackets. */
function step(expected: Expected, first: string, open: string[]): Expected | undefined {
  const closes = first === ']' ? '[' : first === '}' ? '{' : undefined
  if (closes !== undefined) {
    const may = expected === 'more' || expected === (first === ']' ? 'value or end' : 'key or end')
    if (!may || open.at(-1) !== closes) return undefined
    open.pop()
    return open.length === 0 ? 'end' : 'more'
  }
  if (expected === 'more') {
    if (first !== ',') return undefined
    return open.at(-1) === '{' ? 'key' : 'value'
  }
  if (expected === 'colon') return first === ':' ? 'value' : undefined
  if (expected === 'key' || expected === 'key or end') return first === '"' ? 'colon' : undefined
  if (expected === 'end' || first === ',' || first === ':') return undefined
  if (first === '[' || first === '{') {
    open.push(first)
    return first === '[' ? 'value or end' : 'key or end'
  }
  return open.length === 0 ? 'end' : 'more'
}

const punctuation = new Set('{}[],:')
const words = new Map([
  ['t', 'true'],
  ['f', 'false'],
  ['n', 'null'],
])

/** The offset after the token, or -1 if it is none. */
function endOfToken(text: string, at: number, first: string): number {
  if (punctuation.has(first)) return at + 1
  if (first === '"') return endOfString(text, at)
  const word = words.get(first)
  if (word !== undefined) return text.startsWith(word, at) ? at + word.length : -1
  let end = at
  while ('+-.0123456789eE'.includes(text[end] ?? ' ')) end++
  return /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(text.slice(at, end)) ? end : -1
}

function endOfString(text: string, at: number): number {
  for (let end = at + 1; end < text.length; end++) {
    const code = text.charCodeAt(end)
    if (code === 0x22) return end + 1
    if (code < 0x20) return -1
    if (code !== 0x5c) continue
    end++
    const escaped = text[end] ?? ''
    if (escaped === 'u' && /^[0-9a-fA-F]{4}$/.test(text.slice(end + 1, end + 5))) end += 4
    else if (!'"\\/bfnrt'.includes(escaped) || escaped === '') return -1
  }
  return -1
}

function skipSpace(text: string, from: number): number {
  let at = from
  for (;;) {
    const code = text.charCodeAt(at)
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return at
    at++
  }
}
