/** A regular expression as a tree. */
export type Pattern =
  | { readonly kind: 'one'; readonly accepts: (character: string) => boolean }
  | { readonly kind: 'all' | 'any'; readonly parts: readonly Pattern[] }
  | { readonly kind: 'repeat'; readonly part: Pattern; readonly least: number; readonly most: number }
  | { readonly kind: 'assert'; readonly what: Assertion }
export type Assertion = 'start' | 'end' | 'lineStart' | 'lineEnd' | 'boundary' | 'noBoundary'

interface Flags {
  readonly i: boolean
  readonly m: boolean
  readonly s: boolean
}

/** As in RE2. */
const maxRepeat = 1_000
const maxDepth = 100

/**
 * Parses RE2 syntax: literals, `.`, classes, `\d \w \s \p{…} \b`, `^ $ \A \z`, groups, `|`, `* + ? {n,m}`, `(?i) (?m) (?s)`.
 * Throws `SyntaxError` for anything else, among it look-around and back references, which RE2 has not either.
 */
export function parsePattern(text: string): Pattern {
  return new Parser(text).parse()
}

class Parser {
  readonly #text: string
  #at = 0
  #depth = 0
  #flags: Flags = { i: false, m: false, s: false }

  constructor(text: string) {
    this.#text = text
  }

  parse(): Pattern {
    const pattern = this.#alternatives()
    if (this.#at < this.#text.length) throw problem('there is a ) too many')
    return pattern
  }

  #alternatives(): Pattern {
    if (++this.#depth > maxDepth) throw problem('it is nested too deeply')
    const first = this.#sequence()
    const others: Pattern[] = []
    while (this.#take('|')) others.push(this.#sequence())
    this.#depth--
    return others.length === 0 ? first : { kind: 'any', parts: [first, ...others] }
  }

  #sequence(): Pattern {
    const parts: Pattern[] = []
    while (this.#at < this.#text.length && !/[|)]/.test(this.#peek())) parts.push(this.#repeated(this.#atom()))
    return { kind: 'all', parts }
  }

  #repeated(part: Pattern): Pattern {
    const found = this.#match(/(?:[*+?]|\{(\d+)(,?)(\d*)\})\??/y)
    if (found === null) return part
    const [sign, from = '', comma, to = ''] = found
    if (/^[*+?{]/.test(this.#peek()) && this.#looksLikeRepeat())
      throw problem(`a repetition follows a repetition at "${sign}"`)
    if (sign.startsWith('*')) return { kind: 'repeat', part, least: 0, most: Number.POSITIVE_INFINITY }
    if (sign.startsWith('+')) return { kind: 'repeat', part, least: 1, most: Number.POSITIVE_INFINITY }
    if (sign.startsWith('?')) return { kind: 'repeat', part, least: 0, most: 1 }
    const least = Number(from)
    const most = comma === '' ? least : to === '' ? Number.POSITIVE_INFINITY : Number(to)
    if (least > maxRepeat || (Number.isFinite(most) && most > maxRepeat) || most < least)
      throw problem(`${sign} is not a repetition of at most ${maxRepeat}`)
    return { kind: 'repeat', part, least, most }
  }

  #looksLikeRepeat(): boolean {
    return /^(?:[*+?]|\{\d+,?\d*\})/.test(this.#text.slice(this.#at, this.#at + 12))
  }

  #atom(): Pattern {
    const character = this.#next()
    if (character === '(') return this.#group()
    if (character === '[') return this.#class()
    if (character === '\\') return this.#escape()
    if (character === '.') return this.#flags.s ? anything : notNewline
    if (character === '^') return { kind: 'assert', what: this.#flags.m ? 'lineStart' : 'start' }
    if (character === '$') return { kind: 'assert', what: this.#flags.m ? 'lineEnd' : 'end' }
    if (/[*+?]/.test(character)) throw problem(`there is nothing before "${character}" to repeat`)
    return this.#literal(character)
  }

  #group(): Pattern {
    const outer = this.#flags
    const opening = this.#match(/\?(?:P?<\w+>|([ims]*)(?:-([ims]*))?([:)]))/y)
    if (opening === null && this.#peek() === '?') throw problem('look-around is not supported')
    const [, on = '', off = '', end] = opening ?? []
    for (const name of ['i', 'm', 's'] as const) {
      if (on.includes(name)) this.#flags = { ...this.#flags, [name]: true }
      if (off.includes(name)) this.#flags = { ...this.#flags, [name]: false }
    }
    if (end === ')') return { kind: 'all', parts: [] }
    const inner = this.#alternatives()
    if (!this.#take(')')) throw problem('a ) is missing')
    this.#flags = outer
    return inner
  }

  #class(): Pattern {
    const found = this.#match(/(\^?\]?(?:\\[pP]\{\w+\}|\\[\s\S]|\[:\^?\w+:\]|[^\]\\])*)\]/y)
    if (found === null) throw problem('a ] is missing')
    const body = (found[1] ?? '')
      .replace(/^(\^?)\]/, '$1\\]')
      .replaceAll(/\[:(\w+):\]/g, (_all, name: string) => posixClass(name))
      .replaceAll(/\\([^\w\s])/g, (_all, sign: string) => (/[\^$\\.*+?()[\]{}|/-]/.test(sign) ? `\\${sign}` : sign))
      .replaceAll(/(?<!\\)\[/g, '\\[')
    return this.#byRegExp(`[${body}]`)
  }

  #escape(): Pattern {
    const named = this.#match(/[dDwWsS]|[pP](?:\{\^?\w+\}|[A-Z])/y)
    if (named !== null) return this.#byRegExp(`\\${named[0].replace(/^([pP])([A-Z])$/, '$1{$2}')}`)
    const code = this.#match(/x(?:\{([0-9a-fA-F]{1,6})\}|([0-9a-fA-F]{2}))/y)
    if (code !== null) return this.#literal(String.fromCodePoint(Number.parseInt(code[1] ?? code[2] ?? '', 16)))
    const character = this.#next()
    const assertion = assertions[character]
    if (assertion !== undefined) return { kind: 'assert', what: assertion }
    const control = controls[character]
    if (control !== undefined) return this.#literal(control)
    if (/[1-9]/.test(character)) throw problem('back references are not supported')
    if (character === '' || /\w/.test(character)) throw problem(`\\${character} is not supported`)
    return this.#literal(character)
  }

  #literal(character: string): Pattern {
    if (!this.#flags.i) return { kind: 'one', accepts: (other) => other === character }
    return this.#byRegExp(character.replace(/[\^$\\.*+?()[\]{}|/-]/, '\\$&'))
  }

  /** For one character JavaScript's own engine is safe. */
  #byRegExp(source: string): Pattern {
    try {
      const expression = new RegExp(`^${source}$`, this.#flags.i ? 'iu' : 'u')
      return { kind: 'one', accepts: (character) => expression.test(character) }
    } catch {
      throw problem(`${source} is not a class of characters`)
    }
  }

  #peek(): string {
    return this.#text.charAt(this.#at)
  }

  #next(): string {
    const character = String.fromCodePoint(this.#text.codePointAt(this.#at) ?? 0)
    if (this.#at >= this.#text.length) return ''
    this.#at += character.length
    return character
  }

  #take(sign: string): boolean {
    if (this.#peek() !== sign) return false
    this.#at++
    return true
  }

  #match(sticky: RegExp): RegExpExecArray | null {
    sticky.lastIndex = this.#at
    const found = sticky.exec(this.#text)
    if (found !== null) this.#at = sticky.lastIndex
    return found
  }
}

const anything: Pattern = { kind: 'one', accepts: () => true }
const notNewline: Pattern = { kind: 'one', accepts: (character) => character !== '\n' }
const assertions: Readonly<Record<string, Assertion>> = { b: 'boundary', B: 'noBoundary', A: 'start', z: 'end' }
const controls: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', f: '\f', v: '\v', a: '\x07' }
const posixClasses: Readonly<Record<string, string>> = {
  alpha: 'A-Za-z',
  digit: '0-9',
  alnum: '0-9A-Za-z',
  upper: 'A-Z',
  lower: 'a-z',
  space: '\\s',
  word: '\\w',
  xdigit: '0-9A-Fa-f',
  punct: '!-\\/:-@\\[-`\\{-~',
}

function posixClass(name: string): string {
  const known = posixClasses[name]
  if (known === undefined) throw problem(`[:${name}:] is not a class of characters`)
  return known
}

function problem(reason: string): SyntaxError {
  return new SyntaxError(`the pattern is not valid: ${reason}`)
}
