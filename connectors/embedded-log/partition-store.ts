import type { LogRecord, TopicPartition } from '../../src/core/event.ts'
import type { ReadLimit } from '../../src/core/event-log.ts'
import { ChunkReader, chunkBytes, chunkHead, joinPieces, type Piece } from './chunk.ts'
import type { Store, Table } from './store.ts'

/** What is known of a partition as a whole. */
export interface Head {
  /** Offset of the oldest record that is kept. */
  readonly start: number
  /** Offset that the next record will get. */
  readonly next: number
  readonly records: number
  readonly bytes: number
  /** Compaction has seen everything below this offset. */
  readonly compacted: number
}

export interface Chunk {
  readonly base: number
  readonly bytes: Buffer
}

const empty: Head = { start: 0, next: 0, records: 0, bytes: 0, compacted: 0 }
const unlimited = Number.MAX_SAFE_INTEGER

/** Identifies a partition in keys. */
export interface PartitionKey {
  readonly topicId: number
  readonly partition: number
}

interface Pending {
  readonly key: PartitionKey
  readonly next: number
  readonly pieces: Piece[]
  count: number
}

/** The records of all partitions, in chunks. */
export class PartitionStore {
  readonly #heads: Table
  readonly #chunks: Table
  /** Appends of the transaction that runs, by partition. */
  readonly #pending = new Map<string, Pending>()

  constructor(store: Store) {
    this.#heads = store.table('heads')
    this.#chunks = store.table('chunks')
  }

  head(key: PartitionKey): Head {
    const stored = this.#heads.get(partitionBytes(key))
    if (!stored) return empty
    return {
      start: stored.readDoubleLE(0),
      next: stored.readDoubleLE(8),
      records: stored.readDoubleLE(16),
      bytes: stored.readDoubleLE(24),
      compacted: stored.readDoubleLE(32),
    }
  }

  /** Inside a transaction. */
  setHead(key: PartitionKey, head: Head): void {
    const stored = Buffer.allocUnsafe(40)
    stored.writeDoubleLE(head.start, 0)
    stored.writeDoubleLE(head.next, 8)
    stored.writeDoubleLE(head.records, 16)
    stored.writeDoubleLE(head.bytes, 24)
    stored.writeDoubleLE(head.compacted, 32)
    this.#heads.putSync(partitionBytes(key), stored)
  }

  /** Inside a transaction, to be finished with `flush`. Answers the offset of the first record. */
  append(key: PartitionKey, pieces: readonly Piece[]): number {
    const name = `${key.topicId}/${key.partition}`
    let pending = this.#pending.get(name)
    if (!pending) {
      pending = { key, next: this.head(key).next, pieces: [], count: 0 }
      this.#pending.set(name, pending)
    }
    const first = pending.next + pending.count
    for (const piece of pieces) {
      pending.pieces.push(piece)
      pending.count += piece.count
    }
    return first
  }

  /** Inside a transaction: writes what was appended in it, small appends to one partition in one chunk. */
  flush(): void {
    const now = Date.now()
    for (const { key, pieces, count } of this.#pending.values()) {
      // Looked up again: retention or compaction may have changed it in the same transaction.
      const head = this.head(key)
      let { next, bytes } = head
      for (const group of groups(pieces)) {
        const chunk = joinPieces(group, now)
        this.putChunk(key, { base: next, bytes: chunk })
        next += chunkHead(chunk).span
        bytes += chunk.length
      }
      this.setHead(key, { ...head, next, bytes, records: head.records + count })
    }
    this.#pending.clear()
  }

  /** Forgets what was appended in a transaction that did not come about. */
  discard(): void {
    this.#pending.clear()
  }

  putChunk(key: PartitionKey, { base, bytes }: Chunk): void {
    this.#chunks.putSync(chunkKey(key, base), bytes)
  }

  removeChunk(key: PartitionKey, base: number): void {
    this.#chunks.removeSync(chunkKey(key, base))
  }

  getChunk(key: PartitionKey, base: number): Chunk | undefined {
    const bytes = this.#chunks.get(chunkKey(key, base))
    return bytes && { base, bytes }
  }

  /** The first chunk whose first offset is `from` or higher. */
  nextChunk(key: PartitionKey, from: number): Chunk | undefined {
    for (const chunk of this.chunksFrom(key, from)) return chunk
    return undefined
  }

  lastChunk(key: PartitionKey): Chunk | undefined {
    const range = {
      start: chunkKey(key, unlimited),
      end: chunkKey(key, 0),
      inclusiveEnd: true,
      reverse: true,
      limit: 1,
    }
    for (const { key: at, value } of this.#chunks.getRange(range)) return { base: baseOf(at), bytes: value }
    return undefined
  }

  /** Chunks whose first offset is `from` or higher. Read to the end or left with `break`, never across an `await`. */
  *chunksFrom(key: PartitionKey, from: number): Generator<Chunk> {
    for (const { key: at, value } of this.#chunks.getRange({
      start: chunkKey(key, from),
      end: chunkKey(key, unlimited),
    }))
      yield { base: baseOf(at), bytes: value }
  }

  /** The chunk that covers the offset, or the first one after it. */
  chunkAt(key: PartitionKey, offset: number): Chunk | undefined {
    const exact = this.getChunk(key, offset)
    if (exact) return exact
    const range = { start: chunkKey(key, offset), end: chunkKey(key, 0), inclusiveEnd: true, reverse: true, limit: 1 }
    for (const { key: at, value } of this.#chunks.getRange(range)) {
      const base = baseOf(at)
      if (base + chunkHead(value).span > offset) return { base, bytes: value }
    }
    return this.nextChunk(key, offset)
  }
}

/** Reads a partition record by record, and remembers the chunk it stands in. */
export class PartitionReader {
  readonly #store: PartitionStore
  readonly #key: PartitionKey
  readonly #partition: TopicPartition
  #chunk: ChunkReader | undefined
  /** Where the next read begins. */
  offset: number

  constructor(store: PartitionStore, key: PartitionKey, partition: TopicPartition, offset: number) {
    this.#store = store
    this.#key = key
    this.#partition = partition
    this.offset = offset
  }

  /** What is there from `offset` on, within the limit. Without records, everything below `limit.before` was seen. */
  read(limit: ReadLimit): LogRecord[] {
    const records: LogRecord[] = []
    const { start, next } = this.#store.head(this.#key)
    if (this.offset < start) this.#moveTo(start)
    const before = Math.min(limit.before ?? next, next)
    let bytes = limit.bytes
    while (this.offset < before) {
      this.#chunk ??= this.#open()
      if (!this.#chunk) {
        this.offset = before
        break
      }
      const { added, limited } = this.#chunk.read(records, this.offset, { events: limit.events, bytes, before })
      bytes -= added
      const last = records.at(-1)
      if (limited) {
        if (last && last.offset >= this.offset) this.offset = last.offset + 1
        // Stopped by `before`, not by a limit: what lies between is a hole.
        if (records.length === 0) this.offset = before
        break
      }
      this.offset = Math.max(this.offset, this.#chunk.end)
      this.#chunk = undefined
    }
    return records
  }

  #moveTo(offset: number): void {
    this.offset = offset
    this.#chunk = undefined
  }

  #open(): ChunkReader | undefined {
    const chunk = this.#store.chunkAt(this.#key, this.offset)
    return chunk && new ChunkReader(chunk.bytes, this.#partition, chunk.base)
  }
}

function* groups(pieces: readonly Piece[]): Generator<Piece[]> {
  let group: Piece[] = []
  let bytes = 0
  for (const piece of pieces) {
    if (group.length > 0 && bytes + piece.bytes.length > chunkBytes) {
      yield group
      group = []
      bytes = 0
    }
    group.push(piece)
    bytes += piece.bytes.length
  }
  if (group.length > 0) yield group
}

function partitionBytes({ topicId, partition }: PartitionKey): Buffer {
  const key = Buffer.allocUnsafe(8)
  key.writeUInt32BE(topicId, 0)
  key.writeUInt32BE(partition, 4)
  return key
}

function chunkKey({ topicId, partition }: PartitionKey, offset: number): Buffer {
  const key = Buffer.allocUnsafe(16)
  key.writeUInt32BE(topicId, 0)
  key.writeUInt32BE(partition, 4)
  key.writeUInt32BE(Math.floor(offset / 0x100000000), 8)
  key.writeUInt32BE(offset % 0x100000000, 12)
  return key
}

function baseOf(key: Buffer): number {
  return key.readUInt32BE(8) * 0x100000000 + key.readUInt32BE(12)
}
