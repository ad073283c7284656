type Expected = 'value' | 'value or end' | 'key' | 'key or end' | 'colon' | 'next'

const space = /[ \t\n\r]*/y
const plain = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y

/**
 * The offset of the first character that makes a text no JSON (RFC 8259); the text's length if it ends too early or
 * is valid. `JSON.parse` does not always say.
 */
export function findSyntaxError(json: string): number {
  const open: ('{' | '[')[] = []
  let expected: Expected = 'value'
  let at = 0
  const skip = (pattern: RegExp): boolean => {
    pattern.lastIndex = at
    const found = pattern.test(json)
    if (found) at = pattern.lastIndex
    return found
  }
  const string = (): boolean => {
    const [end, closed] = endOfString(json, at)
    at = end
    return closed
  }
  for (;;) {
    skip(space)
    const character = json.charAt(at)
    if (character === '') return at
    if (expected === 'colon') {
      if (character !== ':') return at
      at += 1
      expected = 'value'
    } else if ((character === '}' || character === ']') && (expected === 'next' || expected.endsWith('or end'))) {
      if (open.pop() !== (character === '}' ? '{' : '[')) return at
      at += 1
      expected = 'next'
    } else if (expected === 'next') {
      if (character !== ',' || open.length === 0) return at
      at += 1
      expected = open.at(-1) === '{' ? 'key' : 'value'
    } else if (expected.startsWith('key')) {
      if (!string()) return at
      expected = 'colon'
    } else if (character === '{' || character === '[') {
      open.push(character)
      at += 1
      expected = character === '{' ? 'key or end' : 'value or end'
    } else {
      if (character === '"' ? !string() : !skip(plain)) return at
      expected = 'next'
    }
  }
}

const escaped = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y

/** The offset after the string that begins at `at`, or the offset of what breaks it. */
function endOfString(json: string, at: number): [end: number, closed: boolean] {
  if (json.charAt(at) !== '"') return [at, false]
  for (let index = at + 1; index < json.length; index += 1) {
    const character = json.charAt(index)
    if (character === '"') return [index + 1, true]
    if (character < ' ') return [index, false]
    if (character !== '\\') continue
    escaped.lastIndex = index
    if (!escaped.test(json)) return [index, false]
    index = escaped.lastIndex - 1
  }
  return [json.length, false]
}
