import { expect, it } from 'vitest'
import { sectionsOf } from '../../src/processors/markdown.ts'

function outline(text: string): unknown[] {
  return sectionsOf(text).map(({ headings, blocks }) => [
    headings.join(' > '),
    ...blocks.map(({ kind, start, end }) => `${kind}: ${text.slice(start, end)}`),
  ])
}

it('cuts at headings and remembers those above', () => {
  const text = '# Guide\n\nIntro\ntext\n\n## Install\nRun it.\n### Linux\napt\n## Use #\nNow.\n# Other\nEnd.'
  expect(outline(text)).toEqual([
    ['Guide', 'heading: # Guide', 'text: Intro\ntext'],
    ['Guide > Install', 'heading: ## Install', 'text: Run it.'],
    ['Guide > Install > Linux', 'heading: ### Linux', 'text: apt'],
    ['Guide > Use', 'heading: ## Use #', 'text: Now.'],
    ['Other', 'heading: # Other', 'text: End.'],
  ])
})

it('keeps a heading without text with what follows', () => {
  expect(outline('# A\n\n## B\ntext\n## C')).toEqual([
    ['A > B', 'heading: # A', 'heading: ## B', 'text: text'],
    ['A > C', 'heading: ## C'],
  ])
})

it('knows underlined headings, and rules and lists that only look like them', () => {
  expect(outline('Title\n=====\ntext\n\nPart\n----\none\ntwo\n---\nthree\n\n- a\n- b')).toEqual([
    ['Title', 'heading: Title\n=====', 'text: text'],
    ['Title > Part', 'heading: Part\n----', 'text: one\ntwo\n---\nthree', 'text: - a\n- b'],
  ])
})

it('takes code as it stands', () => {
  const text = 'before\n```sh\n# no heading\n\n~~~\n```\nafter\n~~~~\n```\n~~~\n~~~~~\n```\nopen\n'
  expect(outline(text)).toEqual([
    [
      '',
      'text: before',
      'code: ```sh\n# no heading\n\n~~~\n```',
      'text: after',
      'code: ~~~~\n```\n~~~\n~~~~~',
      'code: ```\nopen',
    ],
  ])
})

it('takes front matter as text, and a plain text as one section', () => {
  expect(outline('---\ntitle: x\n---\n# A\r\nb\r\n')).toEqual([
    ['', 'text: ---\ntitle: x\n---'],
    ['A', 'heading: # A', 'text: b'],
  ])
  expect(outline('---\nno end')).toEqual([['', 'text: ---\nno end']])
  expect(outline('plain')).toEqual([['', 'text: plain']])
  expect(outline(' \n\n')).toEqual([])
})

it.each([
  ['# [![ci](a)](b) The *best* `tool` <b>ever</b> [docs](c) ##', 'The best tool ever docs'],
  ['# C# and F#', 'C# and F#'],
  ['#', ''],
])('reads the title of %s', (text, title) => {
  expect(sectionsOf(text)[0]?.headings).toEqual([title])
})

it.each([
  ['spaces in a heading', `# ${' a'.repeat(10)}${' '.repeat(200_000)}x`],
  ['brackets', `# ${'['.repeat(200_000)}`],
  ['number signs', `# ${' #'.repeat(100_000)}`],
  ['lines', 'a\n'.repeat(200_000)],
])('is not held up by a flood of %s', (_name, text) => {
  const start = performance.now()
  sectionsOf(text)
  expect(performance.now() - start).toBeLessThan(500)
})
