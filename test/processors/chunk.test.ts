import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Event } from '../../src/core/event.ts'
import type { CachingEmbedder } from '../../src/embedding/embedder.ts'
import { chunk } from '../../src/processors/chunk.ts'
import { cutTexts } from '../../src/processors/cut-text.ts'
import { makeWith, openEmbedder, run } from './embedder.ts'
import { CommittedState, event, summary } from './support.ts'

let embedder: CachingEmbedder
beforeAll(async () => {
  embedder = await openEmbedder()
})
afterAll(() => embedder.close())

const count = (texts: readonly string[]) => embedder.countTokens(texts)

async function cut(text: string, tokens: number, overlap = 0): Promise<string[]> {
  const [pieces = []] = await cutTexts([text], { tokens, overlap }, count)
  return pieces.map((piece) => piece.text)
}

describe('cutting', () => {
  const word = fc.oneof(
    fc.constantFrom(
      'the',
      'unbelievable',
      'e.g.',
      'Stop.',
      '日本語の文章です。',
      '🎉🎊',
      'naïve',
      '\u00a0',
      '#tag',
      '- a',
    ),
    fc.string({ unit: 'grapheme', maxLength: 12 }),
    fc.string({ minLength: 60, maxLength: 150, unit: fc.constantFrom('a', 'B', '7', '/') }),
  )
  const line = fc.array(word, { maxLength: 12 }).map((words) => words.join(' '))
  const block = fc.oneof(
    fc.array(line, { minLength: 1, maxLength: 4 }).map((lines) => lines.join('\n')),
    fc.tuple(fc.constantFrom('# ', '## ', '### '), line).map((parts) => parts.join('')),
    line.map((code) => `\`\`\`\n${code}\n\`\`\``),
  )
  const document = fc.array(block, { maxLength: 6 }).map((blocks) => blocks.join('\n\n'))
  const solid = (text: string) => text.replace(/\s+/g, '')

  it('loses nothing, keeps the order and the limit, and does the same each time', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(document, { minLength: 1, maxLength: 3 }),
        fc.integer({ min: 8, max: 40 }),
        async (texts, tokens) => {
          const pieces = await cutTexts(texts, { tokens, overlap: 0 }, count)
          expect(pieces.map((of) => solid(of.map(({ text }) => text).join('')))).toEqual(texts.map(solid))
          const counts = await count(pieces.flat().map(({ text }) => text))
          expect(Math.max(0, ...counts)).toBeLessThanOrEqual(tokens)
          expect(await Promise.all(texts.map(async (text) => cut(text, tokens)))).toEqual(
            pieces.map((of) => of.map(({ text }) => text)),
          )
        },
      ),
      { numRuns: 40 },
    )
  })

  it('with an overlap keeps the limit, and every piece is a stretch of the text that goes on', async () => {
    await fc.assert(
      fc.asyncProperty(document, fc.integer({ min: 8, max: 40 }), async (text, tokens) => {
        const pieces = await cut(text, tokens, 7)
        let from = 0
        for (const piece of pieces) {
          const at = text.indexOf(piece, from)
          expect(at).toBeGreaterThanOrEqual(0)
          from = at
        }
        expect(Math.max(0, ...(await count(pieces)))).toBeLessThanOrEqual(tokens)
      }),
      { numRuns: 40 },
    )
  })

  it('cuts at headings first, and fills pieces with paragraphs', async () => {
    const text = '# One\n\nA first paragraph.\n\nA second one.\n\n## Two\n\nA third, after a heading.'
    expect(await cut(text, 20)).toEqual([
      '# One\n\nA first paragraph.\n\nA second one.',
      '## Two\n\nA third, after a heading.',
    ])
  })

  it('cuts paragraphs between sentences, and sentences between words', async () => {
    const sentences = 'The service was down for an hour. Nobody could sign in! We have fixed it.'
    expect(await cut(sentences, 10)).toEqual([
      'The service was down for an hour.',
      'Nobody could sign in! We have fixed it.',
    ])
    expect(await cut('one two three four five six seven eight nine ten', 8)).toEqual([
      'one two three four five six seven eight',
      'nine ten',
    ])
  })

  it('keeps code that fits in one piece, and cuts between lines what does not', async () => {
    const code = (lines: number) => `\`\`\`\n${'run it now.\n'.repeat(lines)}\`\`\``
    expect(await cut(`Before it stands a sentence.\n\n${code(3)}`, 20)).toEqual([
      'Before it stands a sentence.',
      code(3),
    ])
    const pieces = await cut(code(6), 16)
    expect(pieces.length).toBeGreaterThan(1)
    for (const piece of pieces) expect(piece).toMatch(/(now\.|```)$/)
  })

  it('repeats whole sentences for an overlap', async () => {
    const text = 'One two three four. Five six. Seven eight nine ten. Eleven twelve. Thirteen.'
    expect(await cut(text, 10, 4)).toEqual([
      'One two three four. Five six.',
      'Five six. Seven eight nine ten.',
      'Eleven twelve. Thirteen.',
    ])
  })

  it('lets others have their turn within one long text', async () => {
    let turns = 0
    let over = false
    const others = (async () => {
      for (; !over; turns++) await new Promise((resolve) => setImmediate(resolve))
    })()
    const paragraph = 'A sentence about streams. Another one, which is longer than the first!\n\n'
    const counting = async (texts: readonly string[]) => texts.map((text) => Math.ceil(text.length / 4))
    await cutTexts([paragraph.repeat(10_000)], { tokens: 200, overlap: 20 }, counting)
    over = true
    await others
    expect(turns).toBeGreaterThan(20)
  })

  it('takes a long text in little time', async () => {
    const pieces = await cut('word '.repeat(40_000) + 'x/'.repeat(40_000), 200)
    expect(pieces.length).toBeGreaterThan(400)
    expect(Math.max(...pieces.map((piece) => piece.length))).toBeLessThanOrEqual(200 * 12)
  })
})

describe('the processor', () => {
  const body = '# Guide\n\nIntro.\n\n## Use\n\nCall it.'

  it('makes an event of each piece, with the fields beside the text', async () => {
    const processor = await makeWith(embedder, chunk, { text: 'value.body' })
    const parent = event({ path: 'a.md', body }, { key: 'a.md' })
    expect(await run(processor, [parent])).toEqual([
      [
        {
          ...parent,
          id: 't/0/0#0',
          key: 'a.md#0',
          value: { path: 'a.md', text: '# Guide\n\nIntro.', chunk: 0, chunks: 2, heading: 'Guide' },
        },
        {
          ...parent,
          id: 't/0/0#1',
          key: 'a.md#1',
          value: { path: 'a.md', text: '## Use\n\nCall it.', chunk: 1, chunks: 2, heading: 'Guide > Use' },
        },
      ],
    ])
  })

  it('takes plain texts, and makes nothing of empty ones', async () => {
    const processor = await makeWith(embedder, chunk, { text: 'value', as: 'part' })
    expect(summary(await run(processor, [event('a text'), event(' \n')]))).toEqual([
      [{ part: 'a text', chunk: 0, chunks: 1, heading: '' }],
      [],
    ])
  })

  it('takes back the pieces that are no more when a text shrinks or goes', async () => {
    const processor = await makeWith(embedder, chunk, { text: 'value.body' })
    const state = new CommittedState()
    const named = (value: Event['value']) => event(value, { id: 'a.md', key: 'a.md' })
    await run(processor, [named({ body })], state)
    const [shorter] = await run(processor, [named({ body: 'Only this.' })], state)
    expect(shorter).toMatchObject([
      { id: 'a.md#0', key: 'a.md#0', value: { text: 'Only this.' } },
      { id: 'a.md#1', key: 'a.md#1', value: null },
    ])
    const [gone] = await run(processor, [named(null)], state)
    expect(gone).toMatchObject([{ id: 'a.md#0', key: 'a.md#0', value: null }])
    expect(state.entries.size).toBe(0)
  })

  it('fails an event without a text, and goes on', async () => {
    const processor = await makeWith(embedder, chunk, { text: 'value.body' })
    const [bad, good] = summary(await run(processor, [event({}), event({ body: 'x' })]))
    expect(bad).toBe('expression_failed')
    expect(good).toHaveLength(1)
  })

  it('tells lint what comes out', () => {
    const shape = { fields: new Set(['path', 'body']), vectors: new Set<string>() }
    expect(chunk.shape({ text: 'value.body' }, shape).fields).toEqual(
      new Set(['path', 'text', 'chunk', 'chunks', 'heading']),
    )
    expect(() => chunk.options.parse({ text: 'value', tokens: 50, overlap: 50 })).toThrow('less than')
  })
})
