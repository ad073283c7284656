import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parse, valid } from './fixture.ts'

const pieces = [
  ' ',
  '\n',
  '\n  ',
  '\t',
  ':',
  ': ',
  '- ',
  '{',
  '}',
  '[',
  ']',
  ',',
  '#',
  '"',
  "'",
  '|',
  '>',
  '&a',
  '*a',
  '<<: ',
  '!',
  '!!str',
  '%',
  '@',
  '`',
  '---\n',
  '...',
  '? ',
  'null',
  '~',
  '5',
  '-1',
  'true',
  '.nan',
  '\\',
  '\r',
  '\u0000',
  '\ufeff',
  'ü',
  '😀',
  '__proto__',
  'constructor',
  'name',
  'topic',
  'embed',
  'sinks:',
  'processors:',
  'value.x',
  '!!!',
]

type Edit = { readonly at: number; readonly cut: number; readonly put: string }

const edit: fc.Arbitrary<Edit> = fc.record({
  at: fc.nat({ max: valid.length }),
  cut: fc.oneof(fc.constant(0), fc.nat({ max: 8 }), fc.nat({ max: 120 })),
  put: fc.oneof(fc.constantFrom('', ...pieces), fc.string({ unit: 'binary', maxLength: 6 })),
})

function apply(text: string, { at, cut, put }: Edit): string {
  return text.slice(0, at) + put + text.slice(at + cut)
}

/** Whatever is done to a file, the answer is a specification or problems at places that are in the file. */
test('any mutation of a pipeline gives a specification or problems inside the file', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 4 }), async (edits) => {
      const text = edits.reduce(apply, valid)
      const lines = text.split('\n')
      const { spec, problems } = await parse(text)
      expect(spec === undefined).toBe(problems.some(({ severity }) => severity === 'error'))
      for (const { line, column, length, message, code } of problems) {
        expect(line).toBeGreaterThanOrEqual(1)
        expect(line).toBeLessThanOrEqual(lines.length)
        expect(column).toBeGreaterThanOrEqual(1)
        expect(column).toBeLessThanOrEqual((lines[line - 1] ?? '').length + 1)
        expect(length).toBeGreaterThanOrEqual(1)
        expect(message).not.toBe('')
        expect(code).toMatch(/^[a-z][a-z_]*$/)
      }
    }),
    { numRuns: 3_000 },
  )
})
