import type { InvalidInput } from '../../core/errors.ts'
import type { TokenizerAnswer, TokenizerTask } from './messages.ts'
import { failed, type Priority, type Text } from './text.ts'
import type { Job } from './thread.ts'

export type TokenizerJob = Job<TokenizerTask, TokenizerAnswer>

export interface TokenizerThread {
  run(job: TokenizerJob): void
}

export interface TokenizingEvents {
  /** These texts have their ids now. */
  tokenized(texts: readonly Text[]): void
  failed(text: Text, error: InvalidInput): void
  /** Nobody waits for the text any more. */
  dropped(text: Text): void
}

/** In one task: so few that the model soon has something to do, and that a query is not held up. */
const textsPerTask = 64
const charactersPerTask = 8_192
/** Tasks of bulk texts that are under way at a time: one that runs and one that the thread goes on with at once. */
const mostBulkTasks = 2

/** Texts on their way to their token ids. */
export class Tokenizing {
  readonly #crashOn: string | undefined
  readonly #on: TokenizingEvents
  readonly #waiting: Readonly<Record<Priority, Set<Text>>> = { query: new Set(), bulk: new Set() }
  /** Texts of tasks that were not finished: each goes alone, so that it can only harm itself. */
  readonly #again: Text[] = []
  #bulkTasks = 0

  constructor(crashOn: string | undefined, on: TokenizingEvents) {
    this.#crashOn = crashOn
    this.#on = on
  }

  /** Takes a text. `send` is to be called afterwards. */
  add(text: Text): void {
    this.#waiting[text.priority].add(text)
  }

  /** Puts a text that waits among the queries. */
  hurry(text: Text): void {
    text.priority = 'query'
    if (this.#waiting.bulk.delete(text)) this.#waiting.query.add(text)
  }

  /** To be called when there are texts, or when the thread has done something. */
  send(thread: TokenizerThread): void {
    for (const text of this.#again.splice(0)) this.#run(thread, [text], text.priority)
    while (this.#waiting.query.size > 0) this.#run(thread, this.#take('query'), 'query')
    while (this.#waiting.bulk.size > 0 && this.#bulkTasks < mostBulkTasks) this.#run(thread, this.#take('bulk'), 'bulk')
  }

  #take(priority: Priority): Text[] {
    const waiting = this.#waiting[priority]
    const texts: Text[] = []
    let characters = 0
    for (const text of waiting) {
      if (texts.length === textsPerTask || (texts.length > 0 && characters >= charactersPerTask)) break
      waiting.delete(text)
      if (!text.work.wanted()) {
        this.#on.dropped(text)
        continue
      }
      texts.push(text)
      characters += text.work.text.length
    }
    return texts
  }

  #run(thread: TokenizerThread, texts: readonly Text[], priority: Priority): void {
    if (texts.length === 0) return
    const bulkTasks = priority === 'bulk' ? 1 : 0
    this.#bulkTasks += bulkTasks
    const words = texts.map(({ work }) => work.text)
    thread.run({
      task: { want: 'ids', texts: words, crash: this.#crashOn !== undefined && words.includes(this.#crashOn) },
      transfer: [],
      urgent: priority === 'query',
      done: (packed) => {
        this.#bulkTasks -= bulkTasks
        unpack(packed, texts)
        this.#on.tokenized(texts)
      },
      failed: (message) => {
        this.#bulkTasks -= bulkTasks
        for (const text of texts) this.#failed(text, message)
      },
      returned: () => {
        this.#bulkTasks -= bulkTasks
        this.#again.push(...texts)
      },
    })
  }

  #failed(text: Text, message: string): void {
    const error = failed(text, message)
    if (error === undefined) this.#again.push(text)
    else this.#on.failed(text, error)
  }
}

/** Each text's ids are a part of the answer's memory. */
function unpack(packed: TokenizerAnswer, texts: readonly Text[]): void {
  let at = 0
  for (const text of texts) {
    const length = packed[at] ?? 0
    text.truncated = length < 0
    text.ids = packed.subarray(at + 1, at + 1 + Math.abs(length))
    at += 1 + text.ids.length
  }
}
