import type { QueryResult } from '../core/analytics.ts'
import type { Encoding } from './encoding.ts'
import type { ChangesMessage, RowsMessage } from './protocol.ts'

type Changes = Pick<ChangesMessage, 'length' | 'rows'>

/** Subscribers mostly have the same few ids; frames for others are made as they are needed. */
const mostFrames = 16

/** The rows of a live query as they were after one of its runs. What is sent of them is made once, however many get it. */
export class QueryVersion {
  readonly number: number
  /** Of all rows as JSON, about. */
  readonly bytes: number
  readonly #result: QueryResult
  readonly #texts: readonly string[]
  /** Since the version before; undefined for the first, and where all rows are no longer than what has changed. */
  readonly #changes: Changes | undefined
  readonly #frames = new Map<Encoding, Map<string, Uint8Array>>()

  private constructor(result: QueryResult, texts: readonly string[], number: number, changes?: Changes) {
    this.number = number
    this.#result = result
    this.#texts = texts
    this.#changes = changes
    this.bytes = texts.reduce((sum, text) => sum + text.length + 1, 0)
  }

  static first(result: QueryResult): QueryVersion {
    return new QueryVersion(result, textsOf(result), 0)
  }

  /** The version with this result, which is this one if nothing has changed. */
  next(result: QueryResult): QueryVersion {
    const texts = textsOf(result)
    const sameColumns = JSON.stringify(result.columns) === JSON.stringify(this.#result.columns)
    const changed = texts.flatMap((text, index) => (text === this.#texts[index] ? [] : [index]))
    if (sameColumns && changed.length === 0 && texts.length === this.#texts.length) return this
    const bytes = (indices: Iterable<number>) => [...indices].reduce((sum, at) => sum + (texts[at]?.length ?? 0) + 1, 0)
    const perIndex = 8
    const worth = sameColumns && bytes(changed) + perIndex * changed.length < bytes(texts.keys())
    const rows = changed.flatMap((index) => {
      const row = result.rows[index]
      return row === undefined ? [] : [[index, row] as const]
    })
    // Rows that only fell away at the end are no row to send at all.
    const changes = sameColumns && (worth || changed.length === 0) ? { length: texts.length, rows } : undefined
    return new QueryVersion(result, texts, this.number + 1, changes)
  }

  /** What brings a client that has the rows of version `has` to this one. */
  frame(encoding: Encoding, subscription: string, epoch: string, has: number | undefined): Uint8Array {
    const changes = has === this.number - 1 ? this.#changes : undefined
    const frames = this.#frames.get(encoding) ?? new Map<string, Uint8Array>()
    this.#frames.set(encoding, frames)
    const key = `${changes ? 'changes' : 'rows'} ${subscription}`
    const known = frames.get(key)
    if (known) return known
    const frame = encoding.message(changes ? this.#changed(subscription, changes) : this.#whole(subscription), epoch)
    if (frames.size < mostFrames) frames.set(key, frame)
    return frame
  }

  #whole(subscription: string): RowsMessage {
    const { columns, rows } = this.#result
    return { type: 'rows', subscription, version: this.number, columns, rows }
  }

  #changed(subscription: string, changes: Changes): ChangesMessage {
    return { type: 'changes', subscription, version: this.number, ...changes }
  }
}

function textsOf({ rows }: QueryResult): string[] {
  return rows.map((row) => JSON.stringify(row))
}
