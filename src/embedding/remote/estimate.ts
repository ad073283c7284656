const lettersPerToken = 3
const digitsPerToken = 2
const tokensPerForeignSign = 2

/**
 * Tokens of a text, estimated from above for the vocabularies in use: three Latin letters to a token, two digits, one
 * sign of ASCII, and two tokens for every other unit of UTF-16. English prose has about half of that. Words that no
 * vocabulary has, such as keys and hashes, can have more.
 */
export function estimateTokens(text: string): number {
  return scan(text, Number.POSITIVE_INFINITY).tokens
}

/** The longest beginning of a text that is estimated at no more than so many tokens. */
export function cutToTokens(text: string, most: number): string {
  const { end } = scan(text, most)
  // Half a surrogate pair is no text.
  const last = text.charCodeAt(end - 1)
  return text.slice(0, end < text.length && last >= 0xd800 && last <= 0xdbff ? end - 1 : end)
}

/** The tokens of a text, or where its beginning ends that has no more than so many. */
function scan(text: string, most: number): { readonly tokens: number; readonly end: number } {
  let tokens = 0
  let letters = 0
  let digits = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    const before = tokens
    letters = isLetter(code) ? letters + 1 : 0
    digits = isDigit(code) ? digits + 1 : 0
    if (letters > 0) tokens += letters % lettersPerToken === 1 ? 1 : 0
    else if (digits > 0) tokens += digits % digitsPerToken === 1 ? 1 : 0
    else if (code > 127) tokens += tokensPerForeignSign
    else if (code !== 32) tokens++
    if (tokens > most) return { tokens: before, end: at }
  }
  return { tokens, end: text.length }
}

function isLetter(code: number): boolean {
  const lower = code | 32
  return code < 128 && lower >= 97 && lower <= 122
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57
}
