import { type NewRecord, noHeaders } from '../../src/core/event.ts'
import { codecNumbers, codecOf } from './codecs.ts'
import { crc32c } from './crc32c.ts'
import type { Compression } from './settings.ts'

/*
 * The format of stored records, magic 2 (kafka.apache.org/documentation, "Message Format"):
 *
 *   batch  := base offset i64 | length i32 | leader epoch i32 | magic i8 | crc u32 | attributes i16 | last offset delta i32
 *           | base timestamp i64 | largest timestamp i64 | producer i64 | producer epoch i16 | base sequence i32 | count i32
 *           | record*, compressed as the attributes say
 *   record := length | attributes i8 | timestamp delta | offset delta | key length | key | value length | value
 *           | header count | (name length | name | value length | value)*
 *
 * Numbers of records are zigzag varints; a length of -1 is null. The checksum covers what follows it.
 */

const headerBytes = 61
const checksumAt = 17
const attributesAt = 21
const transactionalBit = 0x10
/** Smaller batches are not worth compressing. */
const leastCompressed = 512

/** Records as they go into a batch; what identifies the producer is filled in when it is sent. */
export interface EncodedRecords {
  readonly count: number
  readonly codec: number
  readonly firstTimestamp: number
  readonly maxTimestamp: number
  /** Compressed as `codec` says. */
  readonly content: Buffer
}

/** `now` is the timestamp of records that have none. */
export async function encodeRecords(
  records: readonly NewRecord[],
  compression: Compression,
  now: number,
): Promise<EncodedRecords> {
  const timestamps = records.map(({ timestamp = now }) => Math.trunc(timestamp))
  const firstTimestamp = timestamps[0] ?? now
  const maxTimestamp = timestamps.reduce((latest, timestamp) => Math.max(latest, timestamp), firstTimestamp)
  const plain = layOut(records, firstTimestamp, now)
  const codec = plain.length < leastCompressed ? 'none' : compression
  const content = codec === 'none' ? plain : await codecOf(codec).compress(plain)
  return { count: records.length, codec: codecNumbers[codec], firstTimestamp, maxTimestamp, content }
}

export interface BatchProducer {
  readonly id: string
  readonly epoch: number
  /** Sequence of the first record. */
  readonly sequence: number
  readonly transactional: boolean
}

export function sealBatch(
  { count, codec, firstTimestamp, maxTimestamp, content }: EncodedRecords,
  { id, epoch, sequence, transactional }: BatchProducer,
): Buffer {
  const batch = Buffer.allocUnsafe(headerBytes + content.length)
  batch.writeBigInt64BE(0n, 0)
  batch.writeInt32BE(batch.length - 12, 8)
  batch.writeInt32BE(-1, 12)
  batch.writeInt8(2, 16)
  batch.writeInt16BE(codec | (transactional ? transactionalBit : 0), attributesAt)
  batch.writeInt32BE(count - 1, 23)
  batch.writeBigInt64BE(BigInt(firstTimestamp), 27)
  batch.writeBigInt64BE(BigInt(maxTimestamp), 35)
  batch.writeBigInt64BE(BigInt(id), 43)
  batch.writeInt16BE(epoch, 51)
  batch.writeInt32BE(sequence, 53)
  batch.writeInt32BE(count, 57)
  content.copy(batch, headerBytes)
  batch.writeUInt32BE(crc32c(batch.subarray(attributesAt)), checksumAt)
  return batch
}

/** Most bytes that the record takes in a batch, before compression. */
export function recordBytes({ key, value, headers = noHeaders }: NewRecord): number {
  let bytes = 40 + (key?.length ?? 0) + (value?.length ?? 0)
  if (headers === noHeaders) return bytes
  for (const [name, content] of Object.entries(headers)) bytes += 10 + name.length * 3 + content.length
  return bytes
}

function layOut(records: readonly NewRecord[], firstTimestamp: number, now: number): Buffer {
  const out = new RecordWriter(records.reduce((sum, record) => sum + recordBytes(record), 0))
  for (const [index, { key, value, headers = noHeaders, timestamp = now }] of records.entries()) {
    const names = headers === noHeaders ? [] : Object.entries(headers)
    const delta = Math.trunc(timestamp) - firstTimestamp
    let size =
      1 + varintBytes(delta) + varintBytes(index) + bytesSize(key) + bytesSize(value) + varintBytes(names.length)
    for (const [name, content] of names) {
      const nameBytes = Buffer.byteLength(name)
      size += varintBytes(nameBytes) + nameBytes + bytesSize(content)
    }
    out.varint(size)
    out.byte(0)
    out.varint(delta)
    out.varint(index)
    out.bytes(key)
    out.bytes(value)
    out.varint(names.length)
    for (const [name, content] of names) {
      out.text(name)
      out.bytes(content)
    }
  }
  return out.finish()
}

function bytesSize(content: Uint8Array | null): number {
  return content === null ? 1 : varintBytes(content.length) + content.length
}

function zigzag(value: number): number {
  return value >= 0 ? value * 2 : -value * 2 - 1
}

function varintBytes(value: number): number {
  let bytes = 1
  for (let rest = zigzag(value); rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes++
  return bytes
}

/** Writes into a buffer that is large enough from the beginning. */
class RecordWriter {
  readonly #bytes: Buffer
  #at = 0

  constructor(capacity: number) {
    this.#bytes = Buffer.allocUnsafe(capacity)
  }

  byte(value: number): void {
    this.#bytes[this.#at++] = value
  }

  /** Zigzag, as Kafka's VARINT and VARLONG. */
  varint(value: number): void {
    let rest = zigzag(value)
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.byte((rest % 0x80) | 0x80)
    this.byte(rest)
  }

  bytes(content: Uint8Array | null): void {
    this.varint(content === null ? -1 : content.length)
    if (content === null) return
    this.#bytes.set(content, this.#at)
    this.#at += content.length
  }

  text(content: string): void {
    this.varint(Buffer.byteLength(content))
    this.#at += this.#bytes.write(content, this.#at)
  }

  finish(): Buffer {
    return this.#bytes.subarray(0, this.#at)
  }
}
