export interface Section {
  /** The headings above, outermost first; the section's own is the last. */
  readonly headings: readonly string[]
  readonly blocks: readonly Block[]
}

/** A stretch of a text that stands alone: a heading, a paragraph, a list, or code. Offsets are in characters. */
export interface Block {
  readonly kind: 'heading' | 'text' | 'code'
  readonly start: number
  readonly end: number
}

interface Heading {
  readonly level: number
  readonly title: string
}

const atxHeading = /^ {0,3}(#{1,6})(?=[ \t]|$)/
const setextUnderline = /^ {0,3}(=+|-+)[ \t]*$/
/** Characters of a heading that are looked at: no line, however long, may hold up the main thread. */
const longestTitle = 1_000
const fence = /^ {0,3}(`{3,}|~{3,})/

/**
 * The sections of a Markdown text, each begun by a heading, in order; together their blocks hold all of the text but
 * blank lines. A heading with nothing below it belongs to the section that follows. Plain text is one section.
 */
export function sectionsOf(text: string): Section[] {
  const sections: Section[] = []
  let path: Heading[] = []
  let blocks: Block[] = []
  const close = () => {
    if (blocks.every((block) => block.kind === 'heading')) return
    sections.push({ headings: path.map(({ title }) => title), blocks })
    blocks = []
  }
  for (const { heading, ...block } of blocksOf(text)) {
    if (heading !== undefined) {
      close()
      path = [...path.filter(({ level }) => level < heading.level), heading]
    }
    blocks.push(block)
  }
  close()
  if (blocks.length > 0) sections.push({ headings: path.map(({ title }) => title), blocks })
  return sections
}

function* blocksOf(text: string): Generator<Block & { readonly heading?: Heading }> {
  const reader = new LineReader(text)
  const matter = frontMatterEnd(text)
  if (matter > 0) {
    yield { kind: 'text', start: 0, end: matter }
    reader.skipTo(matter)
  }
  let open: { start: number; end: number; lines: number } | undefined
  for (let line = reader.next(); line !== undefined; line = reader.next()) {
    const { start, end } = line
    const content = text.slice(start, end)
    const fenced = fence.exec(content)?.[1]
    const atx = atxHeading.exec(content)
    const underline = open?.lines === 1 ? setextUnderline.exec(content)?.[1] : undefined
    if (open !== undefined && underline !== undefined) {
      const heading = { level: underline.startsWith('=') ? 1 : 2, title: plainTitle(text.slice(open.start, open.end)) }
      yield { kind: 'heading', start: open.start, end, heading }
      open = undefined
      continue
    }
    const blank = content.trim() === ''
    if (open !== undefined && (blank || fenced !== undefined || atx !== null)) {
      yield { kind: 'text', start: open.start, end: open.end }
      open = undefined
    }
    if (fenced !== undefined) yield { kind: 'code', start, end: reader.fenceEnd(fenced, end) }
    else if (atx !== null) {
      const heading = { level: atx[1]?.length ?? 1, title: plainTitle(withoutClosing(content.slice(atx[0].length))) }
      yield { kind: 'heading', start, end, heading }
    } else if (!blank) open = { start: open?.start ?? start, end, lines: (open?.lines ?? 0) + 1 }
  }
  if (open !== undefined) yield { kind: 'text', start: open.start, end: open.end }
}

interface Line {
  readonly start: number
  /** Without the line break. */
  readonly end: number
}

class LineReader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  next(): Line | undefined {
    if (this.#at >= this.#text.length) return undefined
    const start = this.#at
    const lineBreak = this.#text.indexOf('\n', start)
    const next = lineBreak < 0 ? this.#text.length : lineBreak
    this.#at = next + 1
    return { start, end: this.#text[next - 1] === '\r' && next > start ? next - 1 : next }
  }

  skipTo(offset: number): void {
    this.#at = offset
  }

  /** Reads on to the end of a fenced block. One that is never closed ends with the text. */
  fenceEnd(opening: string, end: number): number {
    let last = end
    for (let line = this.next(); line !== undefined; line = this.next()) {
      last = line.end
      const closing = this.#text.slice(line.start, line.end).trim()
      if (closing.length >= opening.length && closing === (opening[0] ?? '').repeat(closing.length)) break
    }
    return last
  }
}

/** Where YAML front matter ends; 0 when there is none. */
function frontMatterEnd(text: string): number {
  if (!/^---[ \t]*\r?\n/.test(text)) return 0
  const closing = /^(?:---|\.\.\.)[ \t]*$/gm
  closing.lastIndex = text.indexOf('\n') + 1
  const match = closing.exec(text)
  return match === null ? 0 : match.index + match[0].length
}

/** `## Title ##` may be closed by number signs, which are no part of the title. */
function withoutClosing(title: string): string {
  const words = title.trim()
  let end = words.length
  while (words[end - 1] === '#') end--
  return end === 0 || words[end - 1] === ' ' || words[end - 1] === '\t' ? words.slice(0, end) : words
}

/** A heading without Markdown's and HTML's marks: images vanish, links keep their text. */
function plainTitle(title: string): string {
  return title
    .slice(0, longestTitle)
    .replace(/!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])?/g, '')
    .replace(/\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])?/g, '$1')
    .replace(/<[^>]*>/g, '')
    .replace(/[`*]+/g, '')
    .replace(/\s+/g, ' ')
    .trim()
}
