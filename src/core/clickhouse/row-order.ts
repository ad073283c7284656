import { type Token, tokenize } from './sql.ts'

/** Functions that make one value of many rows, and their forms with `If`, `Array` and the like. */
const aggregate =
  /^(?:count|sum|avg|min|max|any|anyLast|first_value|last_value|uniq\w*|quantile\w*|median\w*|argMin|argMax|group[A-Z]\w*|topK\w*|stddev\w*|var[A-Z]\w*|corr|covar\w*)(?:If|Array|Distinct|Merge|OrNull|OrDefault|Map)*$/i

/**
 * Whether the rows of a query have an order that does not change from run to run, or are at most one. What cannot be told counts as
 * ordered. Throws as `tokenize`.
 */
export function ordered(sql: string): boolean {
  const tokens = outermost(tokenize(sql))
  const has = (...words: readonly string[]) =>
    tokens.some((_, at) => words.every((word, i) => isWord(tokens[at + i], word)))
  if (has('ORDER', 'BY') || !has('FROM') || has('UNION')) return true
  const limit = tokens.findLastIndex((token) => isWord(token, 'LIMIT'))
  if (tokens[limit]?.kind === 'word' && tokens[limit + 1]?.text === '1' && !isWord(tokens[limit + 2], 'BY')) return true
  if (has('GROUP', 'BY')) return false
  const from = tokens.findIndex((token) => isWord(token, 'FROM'))
  return tokens.slice(0, from).some(({ kind, text }, at) => {
    return kind === 'word' && aggregate.test(text) && !isWord(tokens[at + 1], 'OVER')
  })
}

/** Without what stands in parentheses, and the parentheses. */
function outermost(tokens: readonly Token[]): Token[] {
  let depth = 0
  return tokens.filter(({ kind, text }) => {
    if (kind === 'sign' && text === '(') depth += 1
    if (kind === 'sign' && text === ')') depth -= 1
    return depth === 0 && !(kind === 'sign' && text === ')')
  })
}

function isWord(token: Token | undefined, word: string): boolean {
  return token?.kind === 'word' && token.text.toUpperCase() === word
}
