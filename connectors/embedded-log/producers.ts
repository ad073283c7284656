import { createHash } from 'node:crypto'
import type { Store, Table } from './store.ts'

/** The last sequence of each idempotent producer, by topic. */
export class Producers {
  readonly #table: Table

  constructor(store: Store) {
    this.#table = store.table('producers')
  }

  /** Inside a transaction: moves the producer on to this sequence and answers where it stood; -Infinity for a new one. */
  advance(topicId: number, producer: string, sequence: number): number {
    const key = createHash('sha256').update(`${topicId}/${producer}`).digest()
    const last = this.#table.get(key)?.readDoubleLE(0) ?? Number.NEGATIVE_INFINITY
    if (sequence <= last) return last
    const stored = Buffer.allocUnsafe(8)
    stored.writeDoubleLE(sequence)
    this.#table.putSync(key, stored)
    return last
  }
}
