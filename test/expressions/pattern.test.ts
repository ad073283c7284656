import fc from 'fast-check'
import { expect, it } from 'vitest'
import { compilePattern } from '../../src/expressions/pattern.ts'

const atom = fc.constantFrom(
  'a',
  'b',
  '.',
  '[ab]',
  '[^a]',
  '\\d',
  '\\w',
  '\\s',
  '\\b',
  '^',
  '$',
  '1',
  ' ',
  'é',
  '\\.',
  '[\\d-]',
)
const { pattern } = fc.letrec<{ pattern: string; part: string }>((tie) => ({
  pattern: fc.oneof(
    { maxDepth: 4 },
    fc.array(tie('part'), { maxLength: 4 }).map((parts) => parts.join('')),
    fc.tuple(tie('pattern'), tie('pattern')).map(([a, b]) => `${a}|${b}`),
  ),
  part: fc.oneof(
    { maxDepth: 4 },
    atom,
    tie('pattern').map((inner) => `(?:${inner})`),
    fc
      .tuple(tie('pattern'), fc.constantFrom('*', '+', '?', '{2}', '{1,}', '{0,2}', '*?', '+?'))
      .map(([inner, times]) => `(${inner})${times}`),
  ),
}))
const subject = fc.string({ unit: fc.constantFrom('a', 'b', '1', ' ', '\n', 'é', '.', 'A', '👍'), maxLength: 12 })
const flags = fc.constantFrom('', 'i', 's', 'm', 'is')

it('agrees with the regular expressions of JavaScript', () => {
  fc.assert(
    fc.property(pattern, flags, fc.array(subject, { maxLength: 5 }), (source, flag, texts) => {
      const expected = new RegExp(source, `${flag}u`)
      const test = compilePattern(flag === '' ? source : `(?${flag})${source}`)
      for (const text of texts) expect(test(text), JSON.stringify({ source, flag, text })).toBe(expected.test(text))
    }),
    { numRuns: 3000 },
  )
})

it.each<[string, string, boolean]>([
  ['^[a-z0-9._-]+@[[:alpha:]]+\\.(com|org)$', 'bob.1@example.org', true],
  ['(?i)invoice|REFUND', 'My Refund, please', true],
  ['(?i:a)b', 'Ab', true],
  ['(?i:a)b', 'AB', false],
  ['\\p{Lu}\\pL', 'Ö1Öa', true],
  ['\\x41\\x{1F44D}', 'A👍', true],
  ['[]a]', ']', true],
  ['[^]a]', ']', false],
  ['[\\@"\\-]', '@', true],
  ['a{,2}', 'a{,2}', true],
  ['\\Ab\\z', 'b\n', false],
  ['', '', true],
])('%s on %s', (source, text, expected) => {
  expect(compilePattern(source)(text)).toBe(expected)
})

it.each<[string, string]>([
  ['(?=a)', 'look-around'],
  ['(?<!a)', 'look-around'],
  ['(a)\\1', 'back references'],
  ['(a', 'a ) is missing'],
  ['a)', 'a ) too many'],
  ['[a', 'a ] is missing'],
  ['*a', 'nothing before "*"'],
  ['a**', 'a repetition follows'],
  ['a{1001}', 'at most 1000'],
  ['a{2,1}', 'at most 1000'],
  ['((a{100}){100}){100}', 'too large'],
  ['\\', 'not supported'],
  ['[z-a]', 'not a class'],
  ['('.repeat(200), 'too deeply'],
])('refuses %s', (source, reason) => {
  expect(() => compilePattern(source)).toThrow(reason)
})

it('takes time in proportion to the text, whatever the pattern', () => {
  for (const source of ['(a+)+$', '(a|a)*b', '(a*)*b', '^(a?){50}a{50}$', '(.*)*x', 'a.*b.*c.*d', '(x+x+)+y']) {
    const test = compilePattern(source)
    const start = performance.now()
    test('a'.repeat(20_000))
    expect(performance.now() - start, source).toBeLessThan(3_000)
  }
})
