import { createHash } from 'node:crypto'
import type { Environment } from '@marcbachmann/cel-js'
import { errorMessage } from '../core/errors.ts'
import { compilePattern, type PatternSteps } from './pattern.ts'
import { plain } from './plain.ts'

/**
 * Functions beyond the CEL standard. All are pure: no clock, no randomness, so a replay gives the same result.
 *
 * | function | result |
 * | --- | --- |
 * | `text.lower()`, `text.upper()` | the text in lower or upper case, of any script |
 * | `text.replace(search, with)` | every occurrence of `search` replaced |
 * | `list.join(separator)` | the texts of a list as one text |
 * | `round(n)`, `round(n, digits)`, `floor(n)`, `ceil(n)`, `abs(n)` | a number; halves are rounded away from zero |
 * | `min(a, b)`, `max(a, b)` | the smaller, the larger number |
 * | `sum(list)` | the sum of a list of numbers |
 * | `hash(text)` | the first 16 hexadecimal digits of its SHA-256 |
 * | `parseJson(text)`, `toJson(any)` | from and to JSON text |
 * | `isoTime(ms)`, `parseTime(text)` | milliseconds since 1970 to ISO 8601 text (UTC), and back |
 *
 * From CEL and its extensions: `size`, `has`, `in`, `string`, `int`, `double`, `bool`, `type`, `timestamp`, `duration`,
 * `startsWith`, `endsWith`, `contains`, `matches`, `lowerAscii`, `upperAscii`, `trim`, `substring`, `indexOf`,
 * `lastIndexOf`, `split`, `join`, and for lists `all`, `exists`, `exists_one`, `map`, `filter`; `cel.bind`; optional
 * fields as in `value.?customer.?id.orValue("none")`. The patterns of `matches` are RE2's, as CEL says; see `pattern.ts`.
 */
export function registerFunctions(environment: Environment): void {
  const sync = { async: false }
  const add = (signature: string, handler: (...args: never[]) => unknown) =>
    environment.registerFunction(signature, handler, sync)

  add('string.lower(): string', (text: string) => text.toLowerCase())
  add('string.upper(): string', (text: string) => text.toUpperCase())
  add('string.replace(string, string): string', replaceAll)
  add('sum(list): double', (items: readonly unknown[]) =>
    items.reduce<number>((total, item) => total + number(item), 0),
  )
  add('hash(string): string', (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 16))
  add('parseJson(string): dyn', parseJson)
  add('toJson(dyn): string', (value: unknown) => JSON.stringify(plain(value)))
  add('parseTime(string): double', parseTime)
  for (const type of ['int', 'double']) {
    add(`round(${type}): double`, (value: Numeric) => round(Number(value), 0))
    add(`round(${type}, int): double`, (value: Numeric, digits: Numeric) => round(Number(value), Number(digits)))
    add(`floor(${type}): double`, (value: Numeric) => Math.floor(Number(value)))
    add(`ceil(${type}): double`, (value: Numeric) => Math.ceil(Number(value)))
    add(`abs(${type}): double`, (value: Numeric) => Math.abs(Number(value)))
    add(`isoTime(${type}): string`, (value: Numeric) => isoTime(Number(value)))
    for (const other of ['int', 'double']) {
      add(`min(${type}, ${other}): double`, (a: Numeric, b: Numeric) => Math.min(Number(a), Number(b)))
      add(`max(${type}, ${other}): double`, (a: Numeric, b: Numeric) => Math.max(Number(a), Number(b)))
    }
  }
}

/** Lets whole and fractional numbers meet in every arithmetic operator; the result is then fractional. */
export function registerNumbers(environment: Environment): void {
  for (const [left, right] of [
    ['int', 'double'],
    ['double', 'int'],
  ]) {
    const add = (operator: string, apply: (a: number, b: number) => number) =>
      environment.registerOperator(`${left} ${operator} ${right}: double`, (a: Numeric, b: Numeric) =>
        apply(Number(a), Number(b)),
      )
    add('+', (a, b) => a + b)
    add('-', (a, b) => a - b)
    add('*', (a, b) => a * b)
    add('/', (a, b) => a / b)
    add('%', (a, b) => a % b)
  }
  // Registers `double == int` and both forms of `!=` as well.
  environment.registerOperator('int == double', (a: Numeric, b: Numeric) => Number(a) === Number(b))
  environment.registerOperator('double % double', (a: number, b: number) => a % b)
}

/**
 * Functions of the library that expressions call under their own names and that are carried out by ours: the library
 * hands the pattern of `matches` to JavaScript's engine, which some patterns and texts stall, and its `size` of a text
 * walks through every character.
 */
export const substitutes: Readonly<Record<string, string>> = { matches: 'matchesBounded', size: 'sizeQuick' }

const keptPatterns = 100

export function registerSubstitutes(environment: Environment, steps: PatternSteps): void {
  registerMatches(environment, steps)
  registerSize(environment)
}

function registerMatches(environment: Environment, steps: PatternSteps): void {
  const compiled = new Map<string, ReturnType<typeof compilePattern>>()
  const testOf = (pattern: string) => {
    const known = compiled.get(pattern)
    if (known !== undefined) return known
    const test = compilePattern(pattern)
    if (compiled.size >= keptPatterns) compiled.clear()
    compiled.set(pattern, test)
    return test
  }
  const handler = (subject: string, pattern: string) => testOf(pattern)(subject, steps)
  environment.registerFunction(`string.${substitutes.matches}(string): bool`, handler, { async: false })
}

function registerSize(environment: Environment): void {
  const sizes = { string: textSize, bytes: listSize, list: listSize, map: mapSize }
  for (const [type, size] of Object.entries(sizes)) {
    environment.registerFunction(`${substitutes.size}(${type}): int`, size, { async: false })
    environment.registerFunction(`${type}.${substitutes.size}(): int`, size, { async: false })
  }
}

/** Characters as CEL counts them: Unicode code points. */
function textSize(text: string): bigint {
  if (!/[\ud800-\udbff]/.test(text)) return BigInt(text.length)
  return BigInt(text.length - (text.match(/[\ud800-\udbff][\udc00-\udfff]/g)?.length ?? 0))
}

function listSize(list: Uint8Array | readonly unknown[] | ReadonlySet<unknown>): bigint {
  return BigInt('size' in list ? list.size : list.length)
}

function mapSize(map: object): bigint {
  return BigInt(map instanceof Map ? map.size : Object.keys(map).length)
}

/** CEL's whole numbers are BigInt at run time, its fractional ones and all numbers of events are plain numbers. */
type Numeric = number | bigint

function number(value: unknown): number {
  if (typeof value === 'number' || typeof value === 'bigint') return Number(value)
  throw new TypeError(`sum: ${typeof value} is not a number`)
}

/** Rounds the shortest decimal form, so that 1.005 becomes 1.01 as it does on paper. */
function round(value: number, digits: number): number {
  if (!Number.isFinite(value)) return value
  if (!Number.isInteger(digits) || Math.abs(digits) > 15) throw new RangeError('round: digits must be -15 to 15')
  const [mantissa = '0', exponent = '0'] = Math.abs(value).toExponential().split('e')
  const scaled = Math.round(Number(`${mantissa}e${Number(exponent) + digits}`))
  return Math.sign(value) * Number(`${scaled}e${-digits}`) || 0
}

/** Characters that a replacement may make: a short text could otherwise become half a gigabyte. */
const longestReplaced = 16 * 2 ** 20

function replaceAll(text: string, search: string, replacement: string): string {
  let length = text.length
  return text.replaceAll(search, () => {
    length += replacement.length - search.length
    if (length > longestReplaced)
      throw new RangeError(`replace: the result is longer than ${longestReplaced} characters`)
    return replacement
  })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new SyntaxError(`parseJson: ${errorMessage(error)}`)
  }
}

function isoTime(milliseconds: number): string {
  const date = new Date(milliseconds)
  if (Number.isNaN(date.getTime())) throw new RangeError(`isoTime: ${milliseconds} is not a time in milliseconds`)
  return date.toISOString()
}

/** Without a zone the text means UTC, whatever the zone of the machine. */
function parseTime(text: string): number {
  if (!/^\d{4}-\d\d(-\d\d)?([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$/.test(text))
    throw new RangeError(`parseTime: "${text.slice(0, 40)}" is not an ISO 8601 time`)
  const zoned = /(Z|T.*[+-]\d\d:?\d\d| .*[+-]\d\d:?\d\d)$/.test(text) || !text.includes(':') ? text : `${text}Z`
  const milliseconds = Date.parse(zoned.replace(' ', 'T'))
  if (Number.isNaN(milliseconds)) throw new RangeError(`parseTime: "${text.slice(0, 40)}" is not a time`)
  return milliseconds
}
