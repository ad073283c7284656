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
  const turns = new Turns()
  const drafts: Draft[] = []
  for (const text of texts) drafts.push(await draftOf(text, tokens, overlap > 0, turns))
  await fitAll(drafts, tokens, count, turns)
  const pieces: Piece[][] = []
  for (const draft of drafts) pieces.push(await piecesOf(draft, tokens, overlap, turns))
  return pieces
}

/** Lets others have their turn on the main thread, also within one long text. */
class Turns {
  #characters = 0

  /** To be awaited before work on so many characters. */
  before(characters: number): Promise<void> | undefined {
    this.#characters += characters
    if (this.#characters <= charactersPerTurn) return undefined
    this.#characters = 0
    return nextTurn()
  }
}

async function draftOf(text: string, tokens: number, bySentences: boolean, turns: Turns): Promise<Draft> {
  await turns.before(text.length)
  const sections: Draft['sections'][number][] = []
  for (const { headings, blocks } of sectionsOf(text)) {
    const units: Unit[] = []
    for (const block of blocks) {
      await turns.before(block.end - block.start)
      for (const unit of unitsOf(text, block, tokens, bySentences)) units.push(unit)
    }
    sections.push({ heading: headings.join(' > '), units })
  }
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
async function fitAll(drafts: readonly Draft[], tokens: number, count: CountTokens, turns: Turns): Promise<void> {
  for (;;) {
    const uncounted: string[] = []
    for (const draft of drafts) await collectUncounted(draft, uncounted, turns)
    if (uncounted.length === 0) return
    const counts = (await count(uncounted)).values()
    for (const draft of drafts) await fitDraft(draft, tokens, counts, turns)
  }
}

async function collectUncounted({ text, sections }: Draft, into: string[], turns: Turns): Promise<void> {
  for (const { units } of sections) {
    for (const unit of units) {
      if (!isUncounted(unit)) continue
      await turns.before(unit.end - unit.start)
      into.push(text.slice(unit.start, unit.end))
    }
  }
}

async function fitDraft(
  { text, sections }: Draft,
  tokens: number,
  counts: Iterator<number>,
  turns: Turns,
): Promise<void> {
  for (const section of sections) {
    const units: Unit[] = []
    for (const unit of section.units) {
      if (isUncounted(unit)) await turns.before(unit.end - unit.start)
      for (const part of fitted(text, unit, tokens, counts)) units.push(part)
    }
    section.units = units
  }
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

async function piecesOf({ text, sections }: Draft, tokens: number, overlap: number, turns: Turns): Promise<Piece[]> {
  const pieces: Piece[] = []
  for (const { heading, units } of sections) {
    const { start, end } = stretchOf(units)
    await turns.before(end - start)
    for (const { start, end } of pack(units, tokens, overlap)) pieces.push({ text: text.slice(start, end), heading })
  }
  return pieces
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
