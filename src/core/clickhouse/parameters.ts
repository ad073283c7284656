import { isJsonObject } from '../event.ts'
import { Misfit, shown } from './misfit.ts'
import { type Token, tokenize } from './sql.ts'
import { parseType, unwrap } from './types.ts'
import { type Fitting, fittingOf } from './values.ts'

/** `{name:Type}` in a query. */
export interface Placeholder {
  readonly name: string
  readonly type: string
}

/** The placeholders of a query, each as often as it stands there. Throws as `tokenize`. */
export function placeholdersOf(sql: string): Placeholder[] {
  const tokens = tokenize(sql)
  return tokens.flatMap((token, at) => {
    const name = tokens[at + 1]
    if (!isSign(token, '{') || name?.kind !== 'word' || !isSign(tokens[at + 2], ':')) return []
    const end = tokens.findIndex((candidate, index) => index > at && isSign(candidate, '}'))
    return [
      {
        name: name.text,
        type: tokens
          .slice(at + 3, end < 0 ? undefined : end)
          .map(written)
          .join(''),
      },
    ]
  })
}

/** A type without the spaces that mean nothing, to be compared. */
export function plainType(type: string): string {
  return tokenize(type).map(written).join('')
}

/**
 * Turns a value into what ClickHouse takes for a parameter of this type. Texts that a number, a truth value or a time can be read from
 * are taken as such, since a command line has nothing else. Throws `Misfit`.
 */
export function parameterFitting(type: string): Fitting {
  const node = parseType(type)
  const [first = '', second = ''] = node.args
  switch (node.name) {
    case 'Nullable': {
      const fitting = parameterFitting(first)
      return (value) => (value === null ? null : fitting(value))
    }
    case 'LowCardinality':
      return parameterFitting(first)
    case 'Array': {
      const fitting = parameterFitting(first)
      return (value) => {
        if (!Array.isArray(value)) throw new Misfit(`${shown(value)} is no list`)
        return value.map(fitting)
      }
    }
    case 'Map': {
      const fitting = parameterFitting(second)
      return (value) => {
        if (!isJsonObject(value)) throw new Misfit(`${shown(value)} is no object`)
        return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fitting(item)]))
      }
    }
  }
  const fitting = fittingOf(type)
  const text = /^(?:Fixed)?String$/.test(unwrap(node).name)
  return (value) => {
    if (value === null) throw new Misfit('null is no value of it')
    if (text && typeof value !== 'string') throw new Misfit(`${shown(value)} is no text`)
    if (typeof value === 'boolean' && node.name !== 'Bool') throw new Misfit(`${shown(value)} is no ${node.name}`)
    return fitting(value)
  }
}

function isSign(token: Token | undefined, text: string): boolean {
  return token?.kind === 'sign' && token.text === text
}

function written({ kind, text }: Token): string {
  return kind === 'quoted' ? `\`${text}\`` : text
}
