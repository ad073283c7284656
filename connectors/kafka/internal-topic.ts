import { murmur2 } from '../../src/core/partitioner.ts'
import { decompress } from './codecs.ts'
import { type RecordBatch, RecordReader } from './group/record-batch.ts'
import type { PartitionReader } from './reader.ts'

/** Compacted topics in which Millrace keeps what must be exact. */
export const internalTopics = {
  /** State of lanes and of intakes. */
  state: 'millrace.state',
  /** Last sequence of every producer that appends once. */
  sequences: 'millrace.sequences',
} as const

export const internalPartitions = 16

export function isInternalTopic(name: string): boolean {
  return name === internalTopics.state || name === internalTopics.sequences
}

const fetchBytes = 4 * 1024 * 1024

/** The newest committed value of each key of one scope. */
export type ScopeEntries = Map<string, Buffer>

interface Scan {
  readonly wanted: Map<string, ScopeEntries>
  readonly done: Promise<void>
}

/**
 * Reads scopes out of a compacted topic. A scope lies in one partition, which is read as a whole: scopes that are asked
 * for at about the same time share one reading. Only what was asked for is kept.
 */
export class InternalTopic {
  readonly name: string
  readonly #reader: PartitionReader
  /** Readings that have not begun, by partition. */
  readonly #next = new Map<number, Scan>()
  readonly #running = new Map<number, Promise<void>>()

  constructor(name: string, reader: PartitionReader) {
    this.name = name
    this.#reader = reader
  }

  partitionOf(scope: string): number {
    return (murmur2(Buffer.from(scope)) & 0x7fffffff) % internalPartitions
  }

  /**
   * What stands in the scope. Every transaction that wrote to it must have ended: what is still open is left out, and does
   * not hold the reading up.
   */
  async read(scope: string): Promise<ScopeEntries> {
    const partition = this.partitionOf(scope)
    const { wanted, done } = this.#schedule(partition)
    const entries = wanted.get(scope) ?? new Map()
    wanted.set(scope, entries)
    await done
    return entries
  }

  #schedule(partition: number): Scan {
    const waiting = this.#next.get(partition)
    if (waiting) return waiting
    const wanted = new Map<string, ScopeEntries>()
    const before = this.#running.get(partition) ?? Promise.resolve()
    const done = before.then(() => {
      this.#next.delete(partition)
      return this.#scan(partition, wanted)
    })
    this.#running.set(
      partition,
      done.catch(() => undefined),
    )
    const scan = { wanted, done }
    this.#next.set(partition, scan)
    return scan
  }

  async #scan(partition: number, wanted: Map<string, ScopeEntries>): Promise<void> {
    const place = { topic: this.name, partition }
    const [start, end] = [await this.#reader.bound(place, 'start'), await this.#reader.bound(place, 'end')]
    const open = new Map<number, (() => void)[]>()
    for (let offset = start, empty = 0; offset < end; ) {
      const fetched = await this.#reader.fetch({
        ...place,
        offset,
        isolation: 'uncommitted',
        maxBytes: fetchBytes,
        maxWaitMs: 100,
      })
      let next = offset
      for (const batch of wholeBatches(fetched.records)) {
        next = Math.max(next, batch.end)
        if (batch.marker !== undefined) {
          if (batch.marker === 'commit') for (const apply of open.get(batch.producer) ?? []) apply()
          open.delete(batch.producer)
          continue
        }
        const applies = await readChanges(batch, place, wanted)
        if (!batch.transactional) for (const apply of applies) apply()
        else open.set(batch.producer, [...(open.get(batch.producer) ?? []), ...applies])
      }
      if (next === offset && ++empty > 3) throw new Error(`${this.name}/${partition} ends at ${offset}, before ${end}`)
      offset = next
    }
  }
}

async function readChanges(
  batch: WholeBatch,
  place: { readonly topic: string; readonly partition: number },
  wanted: ReadonlyMap<string, ScopeEntries>,
): Promise<(() => void)[]> {
  const applies: (() => void)[] = []
  const reader = new RecordReader(batch, await decompress(batch.codec, batch.content), place)
  for (let record = reader.next(); record !== undefined; record = reader.next()) {
    const [scope, key] = decodeKey(Buffer.from(record.key ?? []))
    const entries = wanted.get(scope)
    if (entries === undefined) continue
    const value = record.value === null ? null : Buffer.from(record.value)
    applies.push(() => {
      if (value === null) entries.delete(key)
      else entries.set(key, value)
    })
  }
  return applies
}

/** `length:scopekey`: the scope's length in bytes, the scope, the key. */
export function encodeKey(scope: string, key: string): Buffer {
  return Buffer.from(`${Buffer.byteLength(scope)}:${scope}${key}`)
}

export function decodeKey(bytes: Buffer): readonly [scope: string, key: string] {
  const colon = bytes.indexOf(':')
  const start = colon + 1
  const end = start + Number(bytes.toString('latin1', 0, colon))
  if (colon < 1 || !(end <= bytes.length)) return ['', '']
  return [bytes.toString('utf8', start, end), bytes.toString('utf8', end)]
}

interface WholeBatch extends RecordBatch {
  /** The offset after its last record. */
  readonly end: number
  readonly producer: number
  readonly transactional: boolean
  /** How a transaction of the producer ended, if that is all that the batch says. */
  readonly marker: 'commit' | 'abort' | undefined
}

const headerBytes = 61
const [transactionalBit, controlBit, codecMask] = [0x10, 0x20, 0x07]

/** Every batch, markers of transactions too, in the layout that `group/record-batch.ts` describes. */
function* wholeBatches(set: Buffer): Generator<WholeBatch> {
  for (let at = 0; at + headerBytes <= set.length; ) {
    const length = 12 + set.readInt32BE(at + 8)
    if (at + length > set.length) return
    const base = Number(set.readBigInt64BE(at))
    const attributes = set.readInt16BE(at + 21)
    const content = set.subarray(at + headerBytes, at + length)
    const count = set.readInt32BE(at + 57)
    yield {
      base,
      end: base + set.readInt32BE(at + 23) + 1,
      baseTimestamp: Number(set.readBigInt64BE(at + 27)),
      appended: undefined,
      codec: attributes & codecMask,
      count,
      content,
      producer: Number(set.readBigInt64BE(at + 43)),
      transactional: (attributes & transactionalBit) !== 0,
      marker: (attributes & controlBit) === 0 || count === 0 ? undefined : markerOf(content),
    }
    at += length
  }
}

/** A control record: four varints of one byte, the attributes, then the key, `version i16 | type i16`. */
function markerOf(content: Buffer): 'commit' | 'abort' {
  const typeAt = 1 + 1 + 1 + 1 + 1 + 2
  return content.readInt16BE(typeAt) === 1 ? 'commit' : 'abort'
}
