const lettersPerToken = 3
const digitsPerToken = 2
const tokensPerForeignSign = 2

/**
 * Tokens of a text, estimated from above for the vocabularies in use: three Latin letters to a token, two digits, one
 * sign of ASCII, and two tokens for every other unit of UTF-16. English prose has about half of that. Words that no
 * vocabulary has, such as keys and hashes, can have more.
 */
export function estimateTokens(text: string): number {
  let tokens = 0
  let letters = 0
  let digits = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (isLetter(code)) {
      if (letters++ % lettersPerToken === 0) tokens++
      digits = 0
      continue
    }
    letters = 0
    if (isDigit(code)) {
      if (digits++ % digitsPerToken === 0) tokens++
      continue
    }
    digits = 0
    if (code > 127) tokens += tokensPerForeignSign
    else if (code !== 32) tokens++
  }
  return tokens
}

/** The longest beginning of a text that is estimated at no more than so many tokens. */
export function cutToTokens(text: string, most: number): string {
  let low = 0
  let high = text.length
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if (estimateTokens(text.slice(0, middle)) <= most) low = middle
    else high = middle - 1
  }
  // Half a surrogate pair is no text.
  const last = text.charCodeAt(low - 1)
  return text.slice(0, low < text.length && last >= 0xd800 && last <= 0xdbff ? low - 1 : low)
}

function isLetter(code: number): boolean {
  const lower = code | 32
  return code < 128 && lower >= 97 && lower <= 122
}

function isDigit(code: number): boolean {
  return code >= 48 && code <= 57
}
