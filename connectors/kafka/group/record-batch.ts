import { Fatal } from '../../../src/core/errors.ts'
import { type Headers, type LogRecord, noHeaders, type TopicPartition } from '../../../src/core/event.ts'

/*
 * The format of stored records, magic 2 (kafka.apache.org/documentation, "Message Format"):
 *
 *   batch  := base offset i64 | length i32 | leader epoch i32 | magic i8 | crc u32 | attributes i16 | last offset delta i32
 *           | base timestamp i64 | largest timestamp i64 | producer i64 | producer epoch i16 | base sequence i32 | count i32
 *           | record*, compressed as the attributes say
 *   record := length | attributes i8 | timestamp delta | offset delta | key length | key | value length | value
 *           | header count | (name length | name | value length | value)*
 *
 * Numbers of records are zigzag varints; a length of -1 is null.
 */
const lengthAt = 8
const magicAt = 16
const attributesAt = 21
const lastDeltaAt = 23
const baseTimestampAt = 27
const largestTimestampAt = 35
const producerAt = 43
const countAt = 57
const recordsAt = 61
/** What `length` does not count: itself and the base offset. */
const uncounted = 12

const codecMask = 0x07
const appendTimeBit = 0x08
const transactionalBit = 0x10
const controlBit = 0x20
/** Type of the control record that ends an aborted transaction. */
const abortMarker = 0

/** A batch with records that a reader of committed data may see. */
export interface RecordBatch {
  readonly base: number
  readonly baseTimestamp: number
  /** Time of the append, where the topic keeps that in place of the records' own times. */
  readonly appended: number | undefined
  /** 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd. */
  readonly codec: number
  readonly count: number
  /** The records, compressed. */
  readonly content: Buffer
}

export interface AbortedTransaction {
  readonly producer: number
  /** Offset of its first record. */
  readonly first: number
}

export interface Batches {
  readonly batches: readonly RecordBatch[]
  /** The offset after the last whole batch, whatever that held; `undefined` without one. */
  readonly end: number | undefined
}

/**
 * The batches of a record set as a fetch answers it: control batches and those of aborted transactions are left out, and
 * so is a last batch that is cut off. The first may begin below the offset that was asked for.
 * `aborted` are the aborted transactions that reach into the set.
 */
export function readBatches(set: Buffer, aborted: readonly AbortedTransaction[]): Batches {
  const batches: RecordBatch[] = []
  const begun = [...aborted].sort((a, b) => b.first - a.first)
  const aborting = new Set<number>()
  let end: number | undefined
  for (let at = 0; at + recordsAt <= set.length; ) {
    const whole = uncounted + set.readInt32BE(at + lengthAt)
    if (at + whole > set.length) break
    checkMagic(set.readInt8(at + magicAt))
    const base = readInt64(set, at)
    const attributes = set.readInt16BE(at + attributesAt)
    const producer = readInt64(set, at + producerAt)
    end = base + set.readInt32BE(at + lastDeltaAt) + 1
    for (let next = begun.at(-1); next !== undefined && next.first < end; next = begun.at(-1)) {
      aborting.add(next.producer)
      begun.pop()
    }
    const content = set.subarray(at + recordsAt, at + whole)
    const count = set.readInt32BE(at + countAt)
    if ((attributes & controlBit) !== 0) {
      if (count > 0 && controlType(content) === abortMarker) aborting.delete(producer)
    } else if (count > 0 && !((attributes & transactionalBit) !== 0 && aborting.has(producer))) {
      batches.push({
        base,
        baseTimestamp: readInt64(set, at + baseTimestampAt),
        appended: (attributes & appendTimeBit) === 0 ? undefined : readInt64(set, at + largestTimestampAt),
        codec: attributes & codecMask,
        count,
        content,
      })
    }
    at += whole
  }
  return { batches, end }
}

function checkMagic(magic: number): void {
  if (magic === 2) return
  throw new Fatal({
    code: 'old_record_format',
    message: `the topic holds records in the format of Kafka before 0.11 (version ${magic}), which cannot be read`,
    hint: 'copy them into a new topic with a tool of that time, or let them expire',
  })
}

/** The key of a control record is `version i16 | type i16`. */
function controlType(content: Buffer): number {
  const cursor = new Cursor(content)
  cursor.varint()
  cursor.skip(1)
  cursor.varint()
  cursor.varint()
  const key = cursor.bytes(cursor.varint())
  return key !== null && key.length >= 4 ? key.readInt16BE(2) : -1
}

/** Hands out the records of a batch, whose content is decompressed by now. They are parts of `content`, not copies. */
export class RecordReader {
  readonly #batch: RecordBatch
  readonly #partition: TopicPartition
  readonly #cursor: Cursor
  /** Where the next record begins. */
  #at = 0
  #left: number

  constructor(batch: RecordBatch, content: Buffer, partition: TopicPartition) {
    this.#batch = batch
    this.#partition = partition
    this.#cursor = new Cursor(content)
    this.#left = batch.count
  }

  /** The next record; `undefined` after the last. Throws a `RangeError`, again and again, at one that is damaged. */
  next(): LogRecord | undefined {
    if (this.#left === 0) return undefined
    const cursor = this.#cursor
    cursor.at = this.#at
    const { base, baseTimestamp, appended } = this.#batch
    const { topic, partition } = this.#partition
    const length = cursor.varint()
    const end = cursor.at + length
    cursor.skip(1)
    const timestamp = baseTimestamp + cursor.varint()
    const offset = base + cursor.varint()
    const key = cursor.bytes(cursor.varint())
    const value = cursor.bytes(cursor.varint())
    const count = cursor.varint()
    const headers = count === 0 ? noHeaders : readHeaders(cursor, count)
    // A later version may add fields at the end of a record.
    this.#at = end
    this.#left--
    return { topic, partition, offset, key, value, headers, timestamp: appended ?? timestamp }
  }
}

const empty = Buffer.alloc(0)

/** Of a header that occurs more than once the last value counts; one without a value is empty. */
function readHeaders(cursor: Cursor, count: number): Headers {
  const headers: Record<string, Uint8Array> = {}
  for (let index = 0; index < count; index++) {
    const name = cursor.bytes(cursor.varint())?.toString('utf8') ?? ''
    const value = cursor.bytes(cursor.varint()) ?? empty
    if (name === '__proto__')
      Object.defineProperty(headers, name, { value, enumerable: true, configurable: true, writable: true })
    else headers[name] = value
  }
  return headers
}

/** Reads forward. A length that leads out of the buffer throws a `RangeError`. */
class Cursor {
  readonly #content: Buffer
  readonly #view: DataView
  at = 0

  constructor(content: Buffer) {
    this.#content = content
    this.#view = new DataView(content.buffer, content.byteOffset, content.byteLength)
  }

  skip(bytes: number): void {
    this.at += bytes
  }

  bytes(length: number): Buffer | null {
    if (length < 0) return null
    const start = this.at
    const end = start + length
    if (end > this.#content.length) throw new RangeError('a record is longer than its batch')
    this.at = end
    return this.#content.subarray(start, end)
  }

  /** A zigzag varint; exact up to 2^52 either side of zero. */
  varint(): number {
    const view = this.#view
    let byte = view.getUint8(this.at++)
    if (byte < 0x80) return (byte >>> 1) ^ -(byte & 1)
    let value = byte & 0x7f
    let scale = 0x80
    do {
      byte = view.getUint8(this.at++)
      value += (byte & 0x7f) * scale
      scale *= 0x80
    } while (byte >= 0x80)
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }
}

function readInt64(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at) * 0x1_0000_0000 + bytes.readUInt32BE(at + 4)
}
