import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Json, JsonObject } from '../../src/core/event.ts'
import { isJsonObject } from '../../src/core/event.ts'
import { mergePatch } from '../../src/live/merge-patch.ts'

/** The algorithm of RFC 7396, section 2, word by word. */
function apply(target: Json | undefined, patch: Json): Json {
  if (!isJsonObject(patch)) return patch
  const result = new Map(isJsonObject(target) ? Object.entries(target) : [])
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) result.delete(name)
    else result.set(name, apply(result.get(name), value))
  }
  return Object.fromEntries(result)
}

const name = fc.constantFrom('a', 'b', 'c', '__proto__', 'constructor')
const { value: json } = fc.letrec<{ value: Json; object: JsonObject }>((tie) => ({
  object: fc.dictionary(name, tie('value'), { maxKeys: 4, noNullPrototype: true }),
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom<Json>(null, true, 0, 1, '', 'text', [], {}),
    fc.array(tie('value'), { maxLength: 3 }),
    tie('object'),
  ),
}))
const object = fc.dictionary(name, json, { maxKeys: 4, noNullPrototype: true })

test('a patch, sent as JSON and applied, gives exactly the new value', () => {
  let made = 0
  fc.assert(
    fc.property(object, object, (from, to) => {
      const patch = mergePatch(from, to)
      if (patch === undefined) return
      made++
      const sent: Json = JSON.parse(JSON.stringify(patch))
      expect(apply(from, sent)).toEqual(to)
    }),
    { numRuns: 2_000 },
  )
  expect(made).toBeGreaterThan(100)
})

test('it holds what has changed and nothing else', () => {
  const from = { same: [1, { x: null }], old: 1, inner: { kept: null, changed: 1, gone: true } }
  const to = { same: [1, { x: null }], new: [null], inner: { kept: null, changed: 2 } }
  expect(mergePatch(from, to)).toEqual({ old: null, new: [null], inner: { changed: 2, gone: null } })
  expect(mergePatch(to, to)).toEqual({})
})

test('there is none where a field becomes null, or is named __proto__', () => {
  expect(mergePatch({ a: 1 }, { a: null })).toBeUndefined()
  expect(mergePatch({ a: 1 }, { a: { b: { c: null } } })).toBeUndefined()
  const odd = JSON.parse('{"__proto__":1}')
  expect(mergePatch(odd, {})).toBeUndefined()
  expect(mergePatch({ a: 1 }, { a: odd })).toBeUndefined()
  expect(mergePatch({ a: { b: 1 } }, { a: odd })).toBeUndefined()
})

test('what is nested very deeply is left to be sent in full', () => {
  const nested = (depth: number, leaf: Json): JsonObject => {
    let value: JsonObject = { leaf }
    for (let level = 0; level < depth; level++) value = { value }
    return value
  }
  expect(mergePatch(nested(5_000, 1), nested(5_000, 2))).toBeUndefined()
  expect(mergePatch({}, nested(5_000, 1))).toBeUndefined()
  expect(mergePatch({ list: [nested(5_000, 1)] }, { list: [nested(5_000, 1)] })).toBeDefined()
})
