import type { Json, NewRecord } from '../../src/core/event.ts'
import type { StateReader } from '../../src/core/state.ts'
import { encodeKey, type ScopeEntries } from './internal-topic.ts'

/**
 * A key of a scope as the topic holds it. It counts for who stands at `from` or beyond; at an earlier position `before`
 * counts, so that compaction, which keeps only the newest record of a key, loses nothing that can still be needed.
 */
export interface StateRecord {
  readonly from: number
  readonly value: Json | undefined
  readonly before: Json | undefined
}

/** Scopes of lanes and of appends do not meet. */
export function stateScope(kind: 'lane' | 'append', scope: string): string {
  return `${kind}/${scope}`
}

export function stateRecord(scope: string, key: string, { from, value, before }: StateRecord): NewRecord {
  const stored = { from, ...(value !== undefined && { value }), ...(before !== undefined && { before }) }
  return { key: encodeKey(scope, key), value: Buffer.from(JSON.stringify(stored)) }
}

export function tombstone(scope: string, key: string): NewRecord {
  return { key: encodeKey(scope, key), value: null }
}

export function readStateRecord(stored: Buffer): StateRecord {
  const { from, value, before }: { from: number; value?: Json; before?: Json } = JSON.parse(stored.toString())
  return { from, value, before }
}

/** What stands in the scope at a committed position, and the keys that say something else than that. */
export function resolve(entries: ScopeEntries, committed: number) {
  const values = new Map<string, Json>()
  const undone: string[] = []
  const deleted: string[] = []
  for (const [key, stored] of entries) {
    const { from, value, before } = readStateRecord(stored)
    const counting = from <= committed ? value : before
    if (from > committed) undone.push(key)
    else if (value === undefined) deleted.push(key)
    if (counting !== undefined) values.set(key, counting)
  }
  return { values, undone, deleted }
}

/** Reads what a function answers at the time. Keys come in the order of their code units. */
export function readerOf(values: () => Promise<ReadonlyMap<string, Json>>): StateReader {
  return {
    get: async (keys) => {
      const found = await values()
      return keys.map((key) => found.get(key))
    },
    async *scan(prefix) {
      const found = await values()
      const keys = [...found.keys()].filter((key) => key.startsWith(prefix)).sort()
      for (const key of keys) {
        const value = found.get(key)
        if (value !== undefined) yield [key, value]
      }
    },
  }
}
