import { createHash } from 'node:crypto'
import type { LogRecord } from '../../src/core/event.ts'
import { type ChunkHead, chunkHead, decodeChunk, encodeChunk } from './chunk.ts'
import type { Chunk, Head, PartitionKey, PartitionStore } from './partition-store.ts'

/** Keys remembered in one pass: bounds its memory. What lies beyond is left to the next pass. */
const keysPerPass = 200_000
/** Keys that are longer than this are remembered by their hash. */
const longestKey = 64
/** How many chunks one transaction rewrites, so that it holds up no append. */
const chunksPerStep = 8

export interface CompactionOptions {
  /** How long a tombstone stays after its append, so that readers that are behind still see it. Milliseconds. */
  readonly tombstoneMs: number
  /** How many records must have come before a pass is worth its work. */
  readonly minimum: number
}

/** Work that yields between small steps; a step given as a function is to be run in a transaction. */
export type Steps = Generator<(() => void) | undefined, void>

/**
 * One pass over a partition, as Kafka's log cleaner does it: the newest offset of each key in the part that is new since
 * the last pass is remembered, then every older record of these keys is dropped. Offsets stay. The newest chunk is
 * left alone, so that the end of the log keeps its record. Records without a key are kept.
 */
export function* compact(partitions: PartitionStore, key: PartitionKey, options: CompactionOptions): Steps {
  const head = partitions.head(key)
  const from = Math.max(head.compacted, head.start)
  const newest = partitions.lastChunk(key)
  if (!newest || newest.base - from < Math.max(options.minimum, head.records * 0.3)) return
  const { latest, to } = yield* rememberKeys(partitions, key, from, newest.base)
  const cleaner = new Cleaner(latest, to, Date.now() - options.tombstoneMs)

  let stale: number[] = []
  for (let next = 0; ; ) {
    const chunk = partitions.nextChunk(key, next)
    if (!chunk || chunk.base >= to) break
    const chunkInfo = chunkHead(chunk.bytes)
    if (cleaner.keep(chunk).length < chunkInfo.count) stale.push(chunk.base)
    next = chunk.base + chunkInfo.span
    if (stale.length === chunksPerStep) {
      const bases = stale
      stale = []
      yield () => rewrite(partitions, key, bases, cleaner)
    } else yield undefined
  }
  yield () => {
    rewrite(partitions, key, stale, cleaner)
    const now = partitions.head(key)
    partitions.setHead(key, { ...now, start: oldest(partitions, key, now), compacted: Math.max(now.compacted, to) })
  }
}

function* rememberKeys(
  partitions: PartitionStore,
  key: PartitionKey,
  from: number,
  end: number,
): Generator<undefined, { latest: Map<string, number>; to: number }> {
  const latest = new Map<string, number>()
  let to = from
  while (to < end && latest.size < keysPerPass) {
    const chunk = partitions.chunkAt(key, to)
    if (!chunk || chunk.base >= end) break
    for (const record of recordsOf(chunk)) if (record.key !== null) latest.set(keyName(record.key), record.offset)
    to = chunk.base + chunkHead(chunk.bytes).span
    yield undefined
  }
  return { latest, to: Math.min(Math.max(to, from), end) }
}

/** Decides which records stay. */
class Cleaner {
  readonly #latest: ReadonlyMap<string, number>
  readonly #to: number
  readonly #tombstonesBefore: number

  constructor(latest: ReadonlyMap<string, number>, to: number, tombstonesBefore: number) {
    this.#latest = latest
    this.#to = to
    this.#tombstonesBefore = tombstonesBefore
  }

  keep(chunk: Chunk): LogRecord[] {
    const { appended } = chunkHead(chunk.bytes)
    return recordsOf(chunk).filter((record) => {
      if (record.key === null || record.offset >= this.#to) return true
      if ((this.#latest.get(keyName(record.key)) ?? -1) > record.offset) return false
      return record.value !== null || appended >= this.#tombstonesBefore
    })
  }
}

/** Inside a transaction: another process may have changed the chunks since they were looked at. */
function rewrite(partitions: PartitionStore, key: PartitionKey, bases: readonly number[], cleaner: Cleaner): void {
  let { records, bytes, ...rest } = partitions.head(key)
  for (const base of bases) {
    const chunk = partitions.getChunk(key, base)
    if (!chunk) continue
    const info: ChunkHead = chunkHead(chunk.bytes)
    const kept = cleaner.keep(chunk)
    records -= info.count - kept.length
    bytes -= chunk.bytes.length
    if (kept.length === 0) partitions.removeChunk(key, base)
    else {
      const smaller = encodeChunk(kept, base, info)
      partitions.putChunk(key, { base, bytes: smaller })
      bytes += smaller.length
    }
  }
  partitions.setHead(key, { ...rest, records, bytes })
}

function oldest(partitions: PartitionStore, key: PartitionKey, { start, next }: Head): number {
  const chunk = partitions.nextChunk(key, 0)
  if (!chunk) return next
  return Math.max(start, recordsOf(chunk)[0]?.offset ?? start)
}

/** Topic and partition do not matter here. */
function recordsOf({ base, bytes }: Chunk): LogRecord[] {
  return decodeChunk(bytes, { topic: '', partition: 0 }, base)
}

function keyName(key: Uint8Array): string {
  if (key.length <= longestKey) return Buffer.from(key).toString('latin1')
  return `#${createHash('sha256').update(key).digest('base64')}${'#'.repeat(longestKey)}`
}
