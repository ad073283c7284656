import { type Assertion, type Pattern, parsePattern } from './pattern-syntax.ts'

type Instruction =
  | { readonly does: 'take'; readonly accepts: (character: string) => boolean }
  | { readonly does: 'split'; readonly to: number[] }
  | { readonly does: 'assert'; readonly what: Assertion }
  | { readonly does: 'match' }

const maxInstructions = 5_000

/** How much work may still be done: about one step for each place in a pattern at each character. */
export interface PatternSteps {
  left: number
}

/**
 * A test whether a regular expression matches anywhere in a text. All ways through the pattern are followed side by
 * side (Thompson's method), so the time is in proportion to the text times the pattern, whatever either of them is:
 * patterns come from clients, texts from anyone. Throws `SyntaxError` for a pattern that RE2 would not take. The test itself
 * throws `RangeError` when it has used up the steps that it was given.
 */
export function compilePattern(text: string): (subject: string, steps?: PatternSteps) => boolean {
  const program: Instruction[] = []
  emit(program, parsePattern(text))
  add(program, { does: 'match' })
  return (subject, steps = { left: Number.POSITIVE_INFINITY }) => run(program, subject, steps)
}

function add(program: Instruction[], instruction: Instruction): void {
  if (program.length >= maxInstructions) throw new SyntaxError('the pattern is not valid: it is too large')
  program.push(instruction)
}

/** Instructions follow each other, except after `split`, which names all that may follow. */
function emit(program: Instruction[], pattern: Pattern): void {
  switch (pattern.kind) {
    case 'one':
      add(program, { does: 'take', accepts: pattern.accepts })
      break
    case 'assert':
      add(program, { does: 'assert', what: pattern.what })
      break
    case 'all':
      for (const part of pattern.parts) emit(program, part)
      break
    case 'any':
      emitAlternatives(program, pattern.parts)
      break
    case 'repeat':
      for (let n = 0; n < pattern.least; n++) emit(program, pattern.part)
      if (pattern.most === Number.POSITIVE_INFINITY) emitLoop(program, pattern.part)
      else emitOptional(program, pattern.part, pattern.most - pattern.least)
  }
}

function emitAlternatives(program: Instruction[], parts: readonly Pattern[]): void {
  const starts: number[] = []
  const ends: number[][] = []
  add(program, { does: 'split', to: starts })
  for (const part of parts) {
    starts.push(program.length)
    emit(program, part)
    const end: number[] = []
    add(program, { does: 'split', to: end })
    ends.push(end)
  }
  for (const end of ends) end.push(program.length)
}

function emitLoop(program: Instruction[], part: Pattern): void {
  const start = program.length
  const to = [start + 1]
  add(program, { does: 'split', to })
  emit(program, part)
  add(program, { does: 'split', to: [start] })
  to.push(program.length)
}

function emitOptional(program: Instruction[], part: Pattern, times: number): void {
  const exits: number[][] = []
  for (let n = 0; n < times; n++) {
    const to = [program.length + 1]
    add(program, { does: 'split', to })
    emit(program, part)
    exits.push(to)
  }
  for (const to of exits) to.push(program.length)
}

function run(program: readonly Instruction[], subject: string, steps: PatternSteps): boolean {
  const reached = new Int32Array(program.length).fill(-1)
  let waiting: number[] = []
  let before = ''
  for (let at = 0; ; ) {
    const code = subject.codePointAt(at)
    const after = code === undefined ? '' : String.fromCodePoint(code)
    // A match may begin at every character.
    const ready: number[] = []
    if (follow(program, [0, ...waiting.toReversed()], reached, at, before, after, ready, steps)) return true
    if (steps.left < 0) throw new RangeError('the text is too long for its patterns')
    if (after === '') return false
    waiting = []
    for (const index of ready) {
      const instruction = program[index]
      if (instruction?.does === 'take' && instruction.accepts(after)) waiting.push(index + 1)
    }
    at += after.length
    before = after
  }
}

/** Collects in `ready` what waits for the next character. True when the end of the pattern is reached. */
function follow(
  program: readonly Instruction[],
  pending: number[],
  reached: Int32Array,
  at: number,
  before: string,
  after: string,
  ready: number[],
  steps: PatternSteps,
): boolean {
  for (let index = pending.pop(); index !== undefined; index = pending.pop()) {
    steps.left--
    if (reached[index] === at) continue
    reached[index] = at
    const instruction = program[index]
    if (instruction === undefined) continue
    if (instruction.does === 'match') return true
    if (instruction.does === 'take') ready.push(index)
    else if (instruction.does === 'split') pending.push(...instruction.to)
    else if (holds(instruction.what, before, after)) pending.push(index + 1)
  }
  return false
}

function holds(what: Assertion, before: string, after: string): boolean {
  switch (what) {
    case 'start':
      return before === ''
    case 'end':
      return after === ''
    case 'lineStart':
      return before === '' || before === '\n'
    case 'lineEnd':
      return after === '' || after === '\n'
    case 'boundary':
      return isWord(before) !== isWord(after)
    case 'noBoundary':
      return isWord(before) === isWord(after)
  }
}

function isWord(character: string): boolean {
  return /^\w$/.test(character)
}
