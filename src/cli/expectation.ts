import { isDeepStrictEqual } from 'node:util'
import { isJsonObject, type Json } from '../core/event.ts'

/** One thing that is not as expected. `path` leads into the output, such as `[0].value.category`. */
export interface Difference {
  readonly path: string
  readonly message: string
}

/**
 * Compares an output with what a test expects of it. An expected object names the fields that matter: others may be
 * there. Lists inside an item must have the same length. Ordered outputs are compared index by index; in others each
 * expected item must find one of its own. Nothing may be left over.
 */
export function differences(expected: readonly Json[], actual: readonly Json[], ordered: boolean): Difference[] {
  return ordered ? orderedDifferences(expected, actual) : unorderedDifferences(expected, actual)
}

function orderedDifferences(expected: readonly Json[], actual: readonly Json[]): Difference[] {
  const found: Difference[] = []
  for (let index = 0; index < Math.max(expected.length, actual.length); index += 1) {
    const [wanted, got] = [expected[index], actual[index]]
    if (wanted === undefined) found.push(leftOver(index, got ?? null))
    else if (got === undefined) found.push(missing(index, wanted))
    else found.push(...compare(wanted, got, `[${index}]`))
  }
  return found
}

function unorderedDifferences(expected: readonly Json[], actual: readonly Json[]): Difference[] {
  const owners = assign(expected, actual)
  const unmatched = expected.map((_, index) => index).filter((index) => !owners.includes(index))
  const spare = actual.map((_, index) => index).filter((index) => owners[index] === undefined)

  // What is missing and what is left over are most likely meant for each other: their differences say more.
  const found: Difference[] = []
  for (const index of unmatched) {
    const wanted = expected[index] ?? null
    const near = spare.shift()
    if (near === undefined) found.push(missing(index, wanted))
    else found.push(...compare(wanted, actual[near] ?? null, `[${index}]`))
  }
  return [...found, ...spare.map((index) => leftOver(index, actual[index] ?? null))]
}

/**
 * For each actual item, the expected one that it stands for: a greatest matching by augmenting paths, so that a vague
 * expectation never takes the only item that a precise one fits.
 */
function assign(expected: readonly Json[], actual: readonly Json[]): (number | undefined)[] {
  const owners: (number | undefined)[] = actual.map(() => undefined)
  const place = (wanted: number, seen: Set<number>): boolean => {
    for (const [index, item] of actual.entries()) {
      if (seen.has(index) || compare(expected[wanted] ?? null, item, '').length > 0) continue
      seen.add(index)
      const owner = owners[index]
      if (owner === undefined || place(owner, seen)) {
        owners[index] = wanted
        return true
      }
    }
    return false
  }
  for (const index of expected.keys()) place(index, new Set())
  return owners
}

function compare(expected: Json, actual: Json, path: string): Difference[] {
  if (isJsonObject(expected) && isJsonObject(actual)) {
    return Object.entries(expected).flatMap(([name, wanted]) => {
      const got = actual[name]
      const at = `${path}.${name}`
      if (got === undefined) {
        const fields = Object.keys(actual).join(', ') || 'none'
        return [{ path: at, message: `expected ${show(wanted)}, there is no such field (${fields})` }]
      }
      return compare(wanted, got, at)
    })
  }
  if (Array.isArray(expected) && Array.isArray(actual) && expected.length === actual.length) {
    return expected.flatMap((wanted: Json, index) => compare(wanted, actual[index], `${path}[${index}]`))
  }
  if (isDeepStrictEqual(expected, actual)) return []
  return [{ path, message: `expected ${show(expected)}, got ${show(actual)}` }]
}

function missing(index: number, wanted: Json): Difference {
  return { path: `[${index}]`, message: `expected ${show(wanted)}, got nothing` }
}

function leftOver(index: number, got: Json): Difference {
  return { path: `[${index}]`, message: `expected nothing more, got ${show(got)}` }
}

const shownCharacters = 200

function show(value: Json): string {
  const text = JSON.stringify(value)
  return text.length > shownCharacters ? `${text.slice(0, shownCharacters)}…` : text
}
