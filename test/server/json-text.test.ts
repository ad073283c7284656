import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { firstJsonError, parseJson } from '../../src/server/json-text.ts'

describe('where JSON goes wrong', () => {
  test('nowhere in what is JSON', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(firstJsonError(text)).toBe(text.length)
      }),
    )
  })

  test('every damage is found somewhere, whatever it is', () => {
    fc.assert(
      fc.property(
        fc.json({ maxDepth: 3 }),
        fc.nat(),
        fc.constantFrom('}', ']', ',', ':', 'x', '"', '{'),
        (text, at, wrong) => {
          const cut = at % (text.length + 1)
          const broken = text.slice(0, cut) + wrong + text.slice(cut)
          const isJson = (() => {
            try {
              JSON.parse(broken)
              return true
            } catch {
              return false
            }
          })()
          if (isJson) return
          expect(() => parseJson(broken)).toThrow(/line \d+, column \d+/)
          // The damage is found at its place or where it first shows, never before it by more than the token it is in.
          expect(firstJsonError(broken)).toBeLessThanOrEqual(broken.length)
        },
      ),
    )
  })
})
