import { createHash } from 'node:crypto'
import type { Store, Table } from './store.ts'

/** The last sequence of each idempotent producer, by topic. */
export class Producers {
  readonly #table: Table

  constructor(store: Store) {
    this.#table = store.table('producers')
  }

  /** Inside a transaction: false if the producer has been at this sequence or beyond already. */
  advance(topicId: number, producer: string, sequence: number): boolean {
    const key = createHash('sha256').update(`${topicId}/${producer}`).digest()
    const last = this.#table.get(key)?.readDoubleLE(0)
    if (last !== undefined && sequence <= last) return false
    const stored = Buffer.allocUnsafe(8)
    stored.writeDoubleLE(sequence)
    this.#table.putSync(key, stored)
    return true
  }
}
