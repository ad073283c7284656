import { setImmediate as nextTurn } from 'node:timers/promises'
import { type Block, sectionsOf } from './markdown.ts'

export interface CutOptions {
  /** Tokens in a piece at most. */
  readonly tokens: number
  /** Tokens at most that a piece repeats from the end of the one before. */
  readonly overlap: number
}

export interface Piece {
  readonly text: string
  /** The headings above it: `Guide > Installation`. Empty when there is none. */
  readonly heading: string
}

export type CountTokens = (texts: readonly string[]) => Promise<readonly number[]>

/** A stretch of text that is not cut any further, as long as it fits. */
interface Unit {
  readonly start: number
  readonly end: number
  /** Index of the splitter that cuts it if it is too long. */
  readonly level: number
  /** Cut from within a word: its tokens add up with nobody's, so it is a piece by itself. */
  readonly alone: boolean
  readonly tokens: number
}

interface Draft {
  readonly text: string
  readonly sections: { readonly heading: string; units: Unit[] }[]
}

interface Stretch {
  readonly start: number
  readonly end: number
}

/** Characters that are cut before others get their turn on the main thread. */
const charactersPerTurn = 50_000
/** A stretch with more characters per allowed token than this is cut without counting it first. */
const charactersPerToken = 12

const sentenceBreak = /(?<=[.!?…]["'”’)\]*_]{0,3})[ \t\r\n]+|\n[ \t]*(?=(?:[-*+|>]|\d{1,9}[.)])[ \t])/g
const lineBreak = /[\r\n]+/g
const wordBreak = /[ \t\r\n]+/g

/** From coarse to fine. Each but the last cuts at white space only. */
const splitters: readonly ((text: string, stretch: Stretch) => Stretch[])[] = [
  (text, stretch) => splitAt(text, stretch, sentenceBreak),
  (text, stretch) => splitAt(text, stretch, lineBreak),
  (text, stretch) => splitAt(text, stretch, wordBreak),
  halves,
]
const lines = 1
const withinWord = splitters.length - 1

/**
 * Cuts each text into pieces of at most so many tokens: at headings first, then between paragraphs and code blocks,
 * sentences, lines, words, and only then within a word. The pieces of a text are stretches of it, in order; without
 * overlap they hold all of it but white space between them. The same text is always cut the same way.
 *
 * Tokens are taken to add up over stretches that are separated by white space, which holds for tokenizers that split
 * there first, such as BERT's.
 */
export async function cutTexts(
  texts: readonly string[],
  { tokens, overlap }: CutOptions,
  count: CountTokens,
): Promise<Piece[][]> {
  const drafts = await inTurns(texts, sizeOf, (text) => draftOf(text, tokens, overlap > 0))
  await fitAll(drafts, tokens, count)
  return inTurns(
    drafts,
    ({ text }) => sizeOf(text),
    (draft) => piecesOf(draft, tokens, overlap),
  )
}

function sizeOf(text: string): number {
  return text.length
}

async function inTurns<T, R>(items: readonly T[], size: (item: T) => number, work: (item: T) => R): Promise<R[]> {
  const results: R[] = []
  let characters = 0
  for (const item of items) {
    characters += size(item)
    if (characters > charactersPerTurn) {
      await nextTurn()
      characters = 0
    }
    results.push(work(item))
  }
  return results
}

function draftOf(text: string, tokens: number, bySentences: boolean): Draft {
  const sections = sectionsOf(text).map(({ headings, blocks }) => ({
    heading: headings.join(' > '),
    units: blocks.flatMap((block) => unitsOf(text, block, tokens, bySentences)),
  }))
  return { text, sections }
}

/** An overlap is made of sentences, so with one every paragraph is cut into them. */
function unitsOf(text: string, { kind, start, end }: Block, tokens: number, bySentences: boolean): Unit[] {
  const unit = { start, end, level: kind === 'code' ? lines : 0, alone: false, tokens: Number.NaN }
  return bySentences && kind === 'text' ? finer(text, unit, tokens) : presplit(text, unit, tokens)
}

/** Stretches that are far too long need not be counted to know it. */
function presplit(text: string, unit: Unit, tokens: number): Unit[] {
  return unit.end - unit.start <= tokens * charactersPerToken ? [unit] : finer(text, unit, tokens)
}

/** The parts of a unit, cut by the coarsest splitter that cuts it at all. */
function finer(text: string, unit: Unit, tokens: number): Unit[] {
  for (let level = unit.level; level < withinWord; level++) {
    const parts = splitters[level]?.(text, unit) ?? []
    if (parts.length < 2) continue
    return parts.flatMap((part) => presplit(text, { ...unit, ...part, level: level + 1 }, tokens))
  }
  return halves(text, unit).flatMap((part) =>
    presplit(text, { ...unit, ...part, level: withinWord, alone: true }, tokens),
  )
}

/** Counts the units of all texts together and cuts those that do not fit, until all fit. */
async function fitAll(drafts: readonly Draft[], tokens: number, count: CountTokens): Promise<void> {
  for (;;) {
    const uncounted = (await inTurns(drafts, ({ text }) => sizeOf(text), uncountedIn)).flat()
    if (uncounted.length === 0) return
    const counts = (await count(uncounted)).values()
    await inTurns(
      drafts,
      ({ text }) => sizeOf(text),
      ({ text, sections }) => {
        for (const section of sections)
          section.units = section.units.flatMap((unit) => fitted(text, unit, tokens, counts))
      },
    )
  }
}

function uncountedIn({ text, sections }: Draft): string[] {
  return sections.flatMap(({ units }) => units.filter(isUncounted).map(({ start, end }) => text.slice(start, end)))
}

function fitted(text: string, unit: Unit, tokens: number, counts: Iterator<number>): Unit[] {
  if (!isUncounted(unit)) return [unit]
  const counted = { ...unit, tokens: Number(counts.next().value) }
  const whole = counted.tokens <= tokens || isOneCharacter(text, unit)
  return whole ? [counted] : finer(text, unit, tokens)
}

function isUncounted({ tokens }: Unit): boolean {
  return Number.isNaN(tokens)
}

function piecesOf({ text, sections }: Draft, tokens: number, overlap: number): Piece[] {
  return sections.flatMap(({ heading, units }) =>
    pack(units, tokens, overlap).map(({ start, end }) => ({ text: text.slice(start, end), heading })),
  )
}

/** As many units to a piece as fit. */
function pack(units: readonly Unit[], tokens: number, overlap: number): Stretch[] {
  const pieces: Stretch[] = []
  let piece: Unit[] = []
  let total = 0
  for (const unit of units) {
    const full = total + unit.tokens > tokens || unit.alone || piece.at(-1)?.alone === true
    if (piece.length > 0 && full) {
      pieces.push(stretchOf(piece))
      piece = repeated(piece, unit, tokens, overlap)
      total = piece.reduce((sum, { tokens }) => sum + tokens, 0)
    }
    piece.push(unit)
    total += unit.tokens
  }
  if (piece.length > 0) pieces.push(stretchOf(piece))
  return pieces
}

/** The end of a piece with which the next one begins. */
function repeated(piece: readonly Unit[], next: Unit, tokens: number, overlap: number): Unit[] {
  if (next.alone) return []
  const room = Math.min(overlap, tokens - next.tokens)
  let from = piece.length
  let total = 0
  for (let unit = piece[from - 1]; unit !== undefined && !unit.alone; unit = piece[from - 1]) {
    total += unit.tokens
    if (total > room) break
    from--
  }
  return piece.slice(from)
}

function stretchOf(units: readonly Unit[]): Stretch {
  return { start: units[0]?.start ?? 0, end: units.at(-1)?.end ?? 0 }
}

/** The stretches between the separators, without the empty ones. */
function splitAt(text: string, { start, end }: Stretch, separator: RegExp): Stretch[] {
  const stretches: Stretch[] = []
  const part = text.slice(start, end)
  let from = 0
  for (const { index, 0: gap } of part.matchAll(separator)) {
    if (index > from) stretches.push({ start: start + from, end: start + index })
    from = index + gap.length
  }
  if (from < part.length) stretches.push({ start: start + from, end })
  return stretches
}

function halves(text: string, { start, end }: Stretch): Stretch[] {
  const half = start + Math.ceil((end - start) / 2)
  const middle = isHighSurrogate(text, half - 1) ? half + 1 : half
  return middle >= end
    ? [{ start, end }]
    : [
        { start, end: middle },
        { start: middle, end },
      ]
}

function isHighSurrogate(text: string, index: number): boolean {
  const unit = text.charCodeAt(index)
  return unit >= 0xd800 && unit <= 0xdbff
}

function isOneCharacter(text: string, { start, end }: Stretch): boolean {
  return end - start <= 1 || (end - start === 2 && isHighSurrogate(text, start))
}
