import { createHash } from 'node:crypto'
import type { Json } from '../../src/core/event.ts'
import type { StateChange, StateReader } from '../../src/core/state.ts'
import type { Store, Table } from './store.ts'

/** LMDB bounds keys at 1978 bytes: a longer key is cut here, made unique by its hash, and stored whole in the value. */
const longestKey = 1000
const scopeBytes = 16
const scanBatch = 256

/**
 * Keyed state by scope. Keys are ordered by their UTF-8 bytes (of keys longer than 1,000 bytes, the first 1,000).
 */
export class StateStore {
  readonly #store: Store
  readonly #table: Table

  constructor(store: Store) {
    this.#store = store
    this.#table = store.table('state')
  }

  /** Inside a transaction. */
  apply(scope: string, changes: readonly StateChange[]): void {
    if (changes.length === 0) return
    const prefix = scopePrefix(scope)
    for (const { key, value } of changes) {
      const at = stateKey(prefix, key)
      if (value === undefined) this.#table.removeSync(at)
      else this.#table.putSync(at, Buffer.from(JSON.stringify(isLong(at) ? [key, value] : value)))
    }
  }

  reader(scope: string): StateReader {
    const prefix = scopePrefix(scope)
    return {
      get: async (keys) => {
        this.#store.refresh()
        return keys.map((key) => {
          const at = stateKey(prefix, key)
          const stored = this.#table.get(at)
          return stored && entry(at, stored)[1]
        })
      },
      scan: (start) => this.#scan(prefix, start),
    }
  }

  /** In batches, so that no read transaction is held open while the consumer works. */
  async *#scan(scope: Buffer, prefix: string): AsyncGenerator<readonly [string, Json]> {
    const start = Buffer.concat([scope, Buffer.from(prefix).subarray(0, longestKey)])
    let last: Buffer | undefined
    for (;;) {
      this.#store.refresh()
      const from = last ? { start: last, exclusiveStart: true } : { start }
      const batch = [...this.#table.getRange({ ...from, end: following(start), limit: scanBatch })]
      for (const { key, value } of batch) {
        const found = entry(key, value)
        if (found[0].startsWith(prefix)) yield found
      }
      last = batch.at(-1)?.key
      if (batch.length < scanBatch) return
    }
  }
}

function scopePrefix(scope: string): Buffer {
  return createHash('sha256').update(scope).digest().subarray(0, scopeBytes)
}

function stateKey(scope: Buffer, key: string): Buffer {
  const bytes = Buffer.from(key)
  if (bytes.length <= longestKey) return Buffer.concat([scope, bytes])
  return Buffer.concat([scope, bytes.subarray(0, longestKey), createHash('sha256').update(bytes).digest()])
}

function isLong(at: Buffer): boolean {
  return at.length > scopeBytes + longestKey
}

function entry(at: Buffer, stored: Buffer): readonly [string, Json] {
  if (!isLong(at)) return [at.toString('utf8', scopeBytes), JSON.parse(stored.toString())]
  const whole: [string, Json] = JSON.parse(stored.toString())
  return whole
}

/** The first key after all that begin with these bytes. */
function following(prefix: Buffer): Buffer {
  const next = Buffer.from(prefix)
  for (let at = next.length - 1; at >= 0; at--) {
    const byte = next[at] ?? 0
    if (byte < 0xff) {
      next[at] = byte + 1
      return next.subarray(0, at + 1)
    }
  }
  return Buffer.alloc(next.length + 1, 0xff)
}
