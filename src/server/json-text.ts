import { InvalidRequest } from './problem.ts'

const token =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: JSON has none of these within its strings
  /("[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\u0000-\u001f]*)*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])|true\b|false\b|null\b|[{}[\],:])/y
const space = /[ \t\n\r]*/y

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

/** Offset of the first character at which the text cannot be continued as JSON; its length if it ends too early. */
export function firstJsonError(text: string): number {
  // What may come next: a value, the rest of an object or array, or nothing more.
  let expected = 'value'
  const open: string[] = []
  let at = 0
  for (;;) {
    space.lastIndex = at
    space.exec(text)
    token.lastIndex = space.lastIndex
    const found = token.exec(text)?.[1]
    const next = found === undefined ? undefined : step(expected, found, open)
    if (next === undefined) return space.lastIndex
    expected = next
    at = token.lastIndex
  }
}

/** The state after a token, or undefined if it cannot stand here. `open` holds the brackets that are still open. */
function step(expected: string, found: string, open: string[]): string | undefined {
  const value = () => (open.length === 0 ? 'end' : 'more')
  const close = () => {
    open.pop()
    return value()
  }
  const inObject = open.at(-1) === '{'
  switch (expected) {
    case 'key':
    case 'key or end':
      if (found === '}' && expected === 'key or end') return close()
      return found.startsWith('"') ? 'colon' : undefined
    case 'colon':
      return found === ':' ? 'value' : undefined
    case 'more':
      if (found === ',') return inObject ? 'key' : 'value'
      return found === (inObject ? '}' : ']') ? close() : undefined
    case 'end':
      return undefined
    default:
      if (found === ']' && expected === 'value or end') return close()
      if (found === '{' || found === '[') {
        open.push(found)
        return found === '{' ? 'key or end' : 'value or end'
      }
      return /^[}\],:]/.test(found) ? undefined : value()
  }
}
