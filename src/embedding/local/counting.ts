import { InvalidInput } from '../../core/errors.ts'
import { unlessAborted } from '../../core/unless-aborted.ts'
import { Capacity } from '../capacity.ts'
import type { Ints } from './messages.ts'
import type { TokenizerThread } from './tokenizing.ts'

interface Part {
  readonly texts: readonly string[]
  readonly characters: number
  readonly signal: AbortSignal
  failures: number
  resolve(counts: Ints): void
  reject(error: Error): void
}

/** Characters that one task counts, so that a query is not held up. */
const charactersPerTask = 16_384
/** Tasks that are under way at a time: one that runs and one that the thread goes on with at once. */
const mostTasks = 2
/** Characters that wait or run. */
const mostCharacters = 8 * 2 ** 20
const maxFailures = 2

/** Texts whose tokens are to be counted. */
export class Counting {
  readonly #parts: Part[] = []
  readonly #capacity = new Capacity(Number.POSITIVE_INFINITY, mostCharacters)
  readonly #crashOn: string | undefined
  #tasks = 0
  #fatal: Error | undefined

  constructor(crashOn: string | undefined) {
    this.#crashOn = crashOn
  }

  /**
   * Counts in the order of the texts. A long one is counted in pieces, which can have a token more. `added` is called for
   * each part that waits then for `send`.
   */
  async count(texts: readonly string[], signal: AbortSignal, added: () => void): Promise<number[]> {
    const sums = new Array<number>(texts.length).fill(0)
    const parts: Promise<void>[] = []
    for (const pieces of cutParts(texts)) {
      const characters = pieces.reduce((sum, { text }) => sum + text.length, 0)
      await this.#capacity.enter(characters, signal)
      const counts = new Promise<Ints>((resolve, reject) => {
        const part = pieces.map(({ text }) => text)
        this.#parts.push({ texts: part, characters, signal, failures: 0, resolve, reject })
      }).then((counts) => {
        for (const [at, { index }] of pieces.entries()) sums[index] = (sums[index] ?? 0) + (counts[at] ?? 0)
      })
      // An earlier part may fail while a later one still waits for room.
      counts.catch(() => {})
      parts.push(counts)
      if (this.#fatal !== undefined) this.failAll(this.#fatal)
      added()
    }
    await unlessAborted(Promise.all(parts), signal)
    return sums
  }

  /** To be called when there are parts, or when the thread has done something. */
  send(thread: TokenizerThread): void {
    while (this.#tasks < mostTasks) {
      const part = this.#parts.shift()
      if (part === undefined) return
      if (part.signal.aborted) this.#capacity.leave(part.characters)
      else this.#run(thread, part)
    }
  }

  /** Rejects everything that waits, and what comes from now on. */
  failAll(error: Error): void {
    this.#fatal = error
    for (const part of this.#parts.splice(0)) this.#fail(part, error)
  }

  #run(thread: TokenizerThread, part: Part): void {
    const { texts } = part
    this.#tasks++
    thread.run({
      task: { want: 'counts', texts, crash: this.#crashOn !== undefined && texts.includes(this.#crashOn) },
      transfer: [],
      urgent: false,
      done: (counts) => {
        this.#tasks--
        this.#capacity.leave(part.characters)
        part.resolve(counts)
      },
      failed: (message) => {
        this.#tasks--
        this.#failed(part, message)
      },
      returned: () => {
        this.#tasks--
        this.#again(part)
      },
    })
  }

  #failed(part: Part, message: string): void {
    part.failures++
    if (part.failures < maxFailures) {
      this.#again(part)
      return
    }
    const text = `The tokens of ${part.texts.length} texts could not be counted: ${message}`
    this.#fail(part, new InvalidInput({ code: 'text_not_countable', message: text }))
  }

  /** A thread may give its part back after everything was rejected. */
  #again(part: Part): void {
    if (this.#fatal === undefined) this.#parts.unshift(part)
    else this.#fail(part, this.#fatal)
  }

  #fail(part: Part, error: Error): void {
    this.#capacity.leave(part.characters)
    part.reject(error)
  }
}

/** A text or, if it is long, a piece of it. */
interface Piece {
  /** The text's. */
  readonly index: number
  readonly text: string
}

function* cutParts(texts: readonly string[]): Generator<Piece[]> {
  let part: Piece[] = []
  let characters = 0
  for (const piece of piecesOf(texts)) {
    if (part.length > 0 && characters + piece.text.length > charactersPerTask) {
      yield part
      part = []
      characters = 0
    }
    part.push(piece)
    characters += piece.text.length
  }
  if (part.length > 0) yield part
}

/** Long texts are cut in front of white space, where tokens begin; if there is none far and wide, anywhere. */
function* piecesOf(texts: readonly string[]): Generator<Piece> {
  for (const [index, text] of texts.entries()) {
    let from = 0
    while (text.length - from > charactersPerTask) {
      const window = text.slice(from, from + charactersPerTask)
      const space = window.search(/\s\S*$/)
      const to = from + (space > 0 ? space : charactersPerTask)
      yield { index, text: text.slice(from, to) }
      from = to
    }
    yield { index, text: text.slice(from) }
  }
}
