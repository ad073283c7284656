import { type Claims, claimValues } from './claims.ts'

/** Whether a name is meant by a pattern. */
export type NameTest = (name: string) => boolean

/** So many spellings of one pattern count at most, if several of its claims are lists. */
const mostSpellings = 1_000

/** Names of the server's own topics, such as its audit trail. */
const internal = /^(?:millrace\.|__)/

/**
 * The names that a pattern means for someone: `*` is any characters, `{tenant_id}` the caller's claim as it stands,
 * whatever is in it; a list of claims means each. The server's own topics are only meant by a pattern that is written
 * with the beginning of their names. Undefined if the caller lacks a claim that is named.
 */
export function nameTest(pattern: string, claims: Claims): NameTest | undefined {
  const meansInternal = internal.test(pattern)
  const spellings = spell(parse(pattern), claims)
  if (spellings.length === 0) return undefined
  return (name) => (meansInternal || !internal.test(name)) && spellings.some((texts) => fits(texts, name))
}

interface Part {
  readonly kind: 'text' | 'any' | 'claim'
  readonly text: string
}

function parse(pattern: string): Part[] {
  return (pattern.match(/\{[^{}]+\}|\*|(?:(?!\{[^{}]+\})[^*])+/g) ?? []).map((text): Part => {
    if (text === '*') return { kind: 'any', text }
    return text.startsWith('{') && text.endsWith('}') && text.length > 2
      ? { kind: 'claim', text: text.slice(1, -1) }
      : { kind: 'text', text }
  })
}

/** The texts between the stars, with claims filled in, for each combination of the claims' values. */
function spell(parts: readonly Part[], claims: Claims): string[][] {
  let spellings: string[][] = [['']]
  for (const { kind, text } of parts) {
    if (kind === 'any') {
      for (const texts of spellings) texts.push('')
      continue
    }
    const values = kind === 'text' ? [text] : claimValues(claims, text).map(String)
    if (spellings.length * values.length > mostSpellings) return []
    spellings = spellings.flatMap((texts) => {
      return values.map((value) => [...texts.slice(0, -1), (texts.at(-1) ?? '') + value])
    })
  }
  return spellings
}

/** Whether a name is the texts with anything in between. Each text where it first comes is enough: no way back is needed. */
function fits(texts: readonly string[], name: string): boolean {
  const first = texts[0] ?? ''
  if (texts.length === 1) return name === first
  const last = texts.at(-1) ?? ''
  if (!name.startsWith(first) || !name.endsWith(last) || name.length < first.length + last.length) return false
  const end = name.length - last.length
  let at = first.length
  for (const text of texts.slice(1, -1)) {
    const found = name.indexOf(text, at)
    if (found < 0 || found + text.length > end) return false
    at = found + text.length
  }
  return true
}
