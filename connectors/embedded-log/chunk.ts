import {
  type Headers,
  type LogRecord,
  type NewRecord,
  noHeaders,
  sizeOf,
  type TopicPartition,
} from '../../src/core/event.ts'

/*
 * Records are stored in chunks: one LMDB value under (partition, offset of the first record).
 *
 *   chunk  := version u8 | count u32 | span u32 | appended f64 | record*      (little endian)
 *   record := gap | timestamp f64 | key length + 1 | value length + 1 | headers | key | value | header*
 *   header := name length | name | value length | value
 *
 * `span` is the number of offsets the chunk covers, `gap` the number of offsets left out before a record (compaction
 * makes such holes), a length of 0 stands for null. Numbers without a type are LEB128.
 */
const version = 1
const headerBytes = 17
/** Records of one append are cut into pieces of about this size: what reading a single record costs at most. */
export const chunkBytes = 64 * 1024

/** Encoded records without their place in the log yet. */
export interface Piece {
  readonly bytes: Buffer
  readonly count: number
}

export interface ChunkHead {
  readonly count: number
  readonly span: number
  /** When it was appended, milliseconds since the Unix epoch. */
  readonly appended: number
}

export function encodeRecords(records: readonly NewRecord[], now: number): Piece[] {
  const pieces: Piece[] = []
  let writer = new RecordWriter()
  let count = 0
  for (const record of records) {
    writer.record(0, record, record.timestamp ?? now)
    count++
    if (writer.length >= chunkBytes) {
      pieces.push({ bytes: writer.take(), count })
      writer = new RecordWriter()
      count = 0
    }
  }
  if (count > 0) pieces.push({ bytes: writer.take(), count })
  return pieces
}

/** A chunk of consecutive records. */
export function joinPieces(pieces: readonly Piece[], appended: number): Buffer {
  let count = 0
  for (const piece of pieces) count += piece.count
  return Buffer.concat([chunkHeader({ count, span: count, appended }), ...pieces.map((piece) => piece.bytes)])
}

/** A chunk of some of the records of another one; it covers the same offsets. */
export function encodeChunk(records: readonly LogRecord[], base: number, { span, appended }: ChunkHead): Buffer {
  const writer = new RecordWriter()
  let expected = base
  for (const record of records) {
    writer.record(record.offset - expected, record, record.timestamp)
    expected = record.offset + 1
  }
  return Buffer.concat([chunkHeader({ count: records.length, span, appended }), writer.take()])
}

function chunkHeader({ count, span, appended }: ChunkHead): Buffer {
  const header = Buffer.allocUnsafe(headerBytes)
  header.writeUInt8(version, 0)
  header.writeUInt32LE(count, 1)
  header.writeUInt32LE(span, 5)
  header.writeDoubleLE(appended, 9)
  return header
}

export function chunkHead(bytes: Buffer): ChunkHead {
  if (bytes.readUInt8(0) !== version) throw new Error(`the log was written by a newer version (format ${bytes[0]})`)
  return { count: bytes.readUInt32LE(1), span: bytes.readUInt32LE(5), appended: bytes.readDoubleLE(9) }
}

class RecordWriter {
  #bytes = Buffer.allocUnsafeSlow(256)
  length = 0

  record(gap: number, record: NewRecord, timestamp: number): void {
    const { key, value, headers = noHeaders } = record
    this.#reserve((key?.length ?? 0) + (value?.length ?? 0) + 64)
    this.#number(gap)
    this.length = this.#bytes.writeDoubleLE(timestamp, this.length)
    this.#number(key === null ? 0 : key.length + 1)
    this.#number(value === null ? 0 : value.length + 1)
    const names = headers === noHeaders ? [] : Object.keys(headers)
    this.#number(names.length)
    if (key !== null) this.#put(key)
    if (value !== null) this.#put(value)
    for (const name of names) {
      const content = headers[name] ?? new Uint8Array()
      this.#reserve(name.length * 3 + content.length + 16)
      const nameBytes = Buffer.from(name, 'utf8')
      this.#number(nameBytes.length)
      this.#put(nameBytes)
      this.#number(content.length)
      this.#put(content)
    }
  }

  take(): Buffer {
    return this.#bytes.subarray(0, this.length)
  }

  #put(content: Uint8Array): void {
    this.#bytes.set(content, this.length)
    this.length += content.length
  }

  #number(value: number): void {
    let rest = value
    while (rest > 0x7f) {
      this.#bytes[this.length++] = (rest % 128) | 0x80
      rest = Math.floor(rest / 128)
    }
    this.#bytes[this.length++] = rest
  }

  #reserve(more: number): void {
    const needed = this.length + more
    if (needed <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2))
    larger.set(this.#bytes.subarray(0, this.length))
    this.#bytes = larger
  }
}

/**
 * Reads the records of one chunk in order. The records' keys and values are views into the chunk's bytes, which must
 * not change any more.
 */
export class ChunkReader {
  readonly #bytes: Buffer
  readonly #view: DataView
  readonly #partition: TopicPartition
  #at = headerBytes
  #left: number
  #expected: number
  /** The offset after the last one that the chunk covers. */
  readonly end: number

  constructor(bytes: Buffer, partition: TopicPartition, base: number) {
    const { count, span } = chunkHead(bytes)
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#partition = partition
    this.#left = count
    this.#expected = base
    this.end = base + span
  }

  get done(): boolean {
    return this.#left === 0
  }

  /**
   * Adds records with offsets in `[from, before)` to `into` until it holds `events` records or the payload would
   * exceed `bytes`; the first of `into` is added whatever its size. Answers the payload bytes that it added, and
   * whether it stopped at a limit.
   */
  read(into: LogRecord[], from: number, limit: { events: number; bytes: number; before: number }): ReadResult {
    const { topic, partition } = this.#partition
    let added = 0
    while (this.#left > 0) {
      if (into.length >= limit.events) return { added, limited: true }
      const start = this.#at
      const offset = this.#expected + this.#number()
      if (offset >= limit.before) {
        this.#at = start
        return { added, limited: true }
      }
      const timestamp = this.#view.getFloat64(this.#at, true)
      this.#at += 8
      const keyLength = this.#number() - 1
      const valueLength = this.#number() - 1
      const headerCount = this.#number()
      const wanted = offset >= from
      const key = this.#take(keyLength)
      const value = this.#take(valueLength)
      const headers = headerCount === 0 ? noHeaders : this.#headers(headerCount)
      const record = { topic, partition, offset, key, value, headers, timestamp }
      const size = wanted ? sizeOf(record) : 0
      if (wanted && into.length > 0 && added + size > limit.bytes) {
        this.#at = start
        return { added, limited: true }
      }
      this.#left--
      this.#expected = offset + 1
      if (!wanted) continue
      into.push(record)
      added += size
    }
    return { added, limited: false }
  }

  #headers(count: number): Headers {
    const headers: Record<string, Uint8Array> = {}
    for (let index = 0; index < count; index++) {
      const name = this.#take(this.#number())?.toString('utf8') ?? ''
      const content = this.#take(this.#number()) ?? Buffer.alloc(0)
      Object.defineProperty(headers, name, { value: content, enumerable: true, configurable: true, writable: true })
    }
    return headers
  }

  #take(length: number): Buffer | null {
    if (length < 0) return null
    const start = this.#at
    this.#at = start + length
    return this.#bytes.subarray(start, this.#at)
  }

  #number(): number {
    let byte = this.#view.getUint8(this.#at++)
    if (byte < 0x80) return byte
    let value = byte & 0x7f
    let scale = 128
    do {
      byte = this.#view.getUint8(this.#at++)
      value += (byte & 0x7f) * scale
      scale *= 128
    } while (byte >= 0x80)
    return value
  }
}

export interface ReadResult {
  readonly added: number
  readonly limited: boolean
}

/** All records of a chunk. */
export function decodeChunk(bytes: Buffer, partition: TopicPartition, base: number): LogRecord[] {
  const records: LogRecord[] = []
  const all = { events: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY, before: Number.POSITIVE_INFINITY }
  new ChunkReader(bytes, partition, base).read(records, base, all)
  return records
}
