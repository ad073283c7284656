import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { errorCode, errorMessage } from '../../src/core/errors.ts'
import { jsonCodec } from '../../src/serde/json.ts'
import { findSyntaxError } from '../../src/serde/json-syntax.ts'

const codec = jsonCodec()

function failure(bytes: Uint8Array): { code: string | undefined; message: string } {
  try {
    codec.decode(bytes)
  } catch (error) {
    return { code: errorCode(error), message: errorMessage(error) }
  }
  throw new Error('was decoded')
}

describe('JSON', () => {
  test('any value survives the way there and back, also out of the middle of a buffer', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const plain = JSON.parse(JSON.stringify(value))
        const bytes = codec.encode(plain)
        expect(codec.decode(bytes)).toEqual(plain)
        const larger = new Uint8Array(bytes.length + 7).fill(0xff)
        larger.set(bytes, 3)
        expect(codec.decode(larger.subarray(3, 3 + bytes.length))).toEqual(plain)
      }),
    )
  })

  test.each([
    ['', 'the value is not JSON: it is empty'],
    ['{"a": 1', 'the value is not JSON: it ends too early, after 7 characters'],
    ['"abc', 'the value is not JSON: it ends too early, after 4 characters'],
    ['hello', 'the value is not JSON: unexpected "hello" at character 0 (line 1, column 1)'],
    ['{"a": 1,}', 'the value is not JSON: unexpected "}" at character 8 (line 1, column 9)'],
    ['{\n  "a": undefined\n}', 'the value is not JSON: unexpected "undefined\\n}" at character 9 (line 2, column 8)'],
    ['[1 2]', 'the value is not JSON: unexpected "2]" at character 3 (line 1, column 4)'],
    ['{"a":1}{"a":2}', 'the value is not JSON: unexpected "{\\"a\\":2}" at character 7 (line 1, column 8)'],
    ["{'a':1}", 'the value is not JSON: unexpected "\'a\':1}" at character 1 (line 1, column 2)'],
    ['["a\nb"]', 'the value is not JSON: unexpected "\\nb\\"]" at character 3 (line 1, column 4)'],
    ['["\\x"]', 'the value is not JSON: unexpected "\\\\x\\"]" at character 2 (line 1, column 3)'],
  ])('what is wrong is said with its place: %j', (text, message) => {
    expect(failure(Buffer.from(text))).toEqual({ code: 'bad_bytes', message })
  })

  test('the place agrees with JSON.parse: what comes before it can be completed, what comes with it cannot', () => {
    const pieces = ['{', '}', '[', ']', ',', ':', '"a"', '1', '-', 'true', 'nul', ' ', '\n', '"', '\\']
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 12 }), (parts) => {
        const text = parts.join('')
        let valid = true
        try {
          JSON.parse(text)
        } catch {
          valid = false
        }
        const at = findSyntaxError(text)
        if (valid) expect(at).toBe(text.length)
        else expect(at).toBeLessThanOrEqual(text.length)
        if (at < text.length) expect(() => JSON.parse(text.slice(0, at + 1))).toThrow()
      }),
      { numRuns: 2_000 },
    )
  })

  test.each([
    [[0xff, 0x22], 0],
    [[0x22, 0x61, 0xc3, 0x28, 0x22], 2],
    [[0x22, 0xe2, 0x82], 1],
    [[0x22, 0xc3, 0xa9, 0xed, 0xa0, 0x80, 0x22], 3],
  ])('bytes that are not UTF-8: %j', (bytes, at) => {
    const message = `the value is not UTF-8: it breaks at byte ${at}`
    expect(failure(Uint8Array.from(bytes))).toEqual({ code: 'bad_bytes', message })
  })

  test('a value that is nested too deep is refused before it can overflow a stack', () => {
    expect(failure(Buffer.from('['.repeat(100_000) + ']'.repeat(100_000))).message).toContain('more than 500 levels')
    const deep = '['.repeat(500) + ']'.repeat(500)
    expect(JSON.stringify(codec.decode(Buffer.from(deep)))).toBe(deep)
    expect(failure(Buffer.from(`[${deep}]`)).code).toBe('bad_bytes')
  })
})
