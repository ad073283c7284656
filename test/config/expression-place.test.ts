import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Document, Scalar } from 'yaml'
import { parse } from './fixture.ts'

const harmless = 'ab (.)+=<?"\'\\/é😀:#-{}[]|>&*%@`,'
const before = fc.string({ unit: fc.constantFrom(...harmless), maxLength: 30 })

/** A pipeline whose filter is the expression, written in a style of scalars. */
function written(expression: string, style: Scalar.Type): string {
  const document = new Document({ name: 'a', source: { topic: 't' }, processors: [{ filter: '' }], sinks: ['live'] })
  const scalar = new Scalar(expression)
  scalar.type = style
  document.setIn(['processors', 0, 'filter'], scalar)
  return document.toString({ lineWidth: 0, doubleQuotedMinMultiLineLength: 10_000 })
}

/** The text at the place of the one problem with the expression. */
async function pointedAt(text: string): Promise<string | undefined> {
  const { problems } = await parse(text)
  const found = problems.filter(({ code }) => code === 'bad_expression')
  expect(found, text).toHaveLength(1)
  const [{ line, column, length } = { line: 0, column: 0, length: 0 }] = found
  return text.split('\n')[line - 1]?.slice(column - 1, column - 1 + length)
}

describe('the place of a problem inside an expression is exact', () => {
  test.each<Scalar.Type>([Scalar.PLAIN, Scalar.QUOTE_SINGLE, Scalar.QUOTE_DOUBLE])('in one line: %s', async (style) => {
    await fc.assert(
      fc.asyncProperty(before, before, async (left, right) => {
        expect(await pointedAt(written(`a${left}!${right}a`, style))).toBe('!')
      }),
    )
  })

  test('in double quotes with escapes', async () => {
    const escapes = ['\\n', '\\t', '\\"', '\\\\', '\\x41', '\\u0041', '\\/', 'a', ' ']
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...escapes), { maxLength: 10 }), async (parts) => {
        const text = written('PLACE', Scalar.PLAIN).replace('PLACE', () => `"${parts.join('')}! x"`)
        expect(await pointedAt(text)).toBe('!')
      }),
    )
  })

  test('in a literal block', async () => {
    const lines = fc.array(before, { maxLength: 4 })
    await fc.assert(
      fc.asyncProperty(lines, before, before, async (above, left, right) => {
        const text = written(['x', ...above, `${left}!${right}`, 'y'].join('\n'), Scalar.BLOCK_LITERAL)
        expect(await pointedAt(text)).toBe('!')
      }),
    )
  })
})
