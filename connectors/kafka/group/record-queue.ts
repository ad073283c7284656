import { type LogRecord, sizeOf, type TopicPartition } from '../../../src/core/event.ts'
import type { ReadLimit } from '../../../src/core/event-log.ts'
import { type Batches, type RecordBatch, RecordReader } from './record-batch.ts'

/** By the codec's number in a batch. */
export type Decompress = (codec: number, content: Buffer) => Promise<Buffer>

/**
 * What was fetched of one partition and not yet handed out. Batches stay as they came, compressed, until their records
 * are asked for.
 */
export class RecordQueue {
  readonly #partition: TopicPartition
  readonly #decompress: Decompress
  readonly #batches: RecordBatch[] = []
  #reader: RecordReader | undefined
  /** Decoded, but beyond a limit of the last `take`. */
  #held: LogRecord | undefined
  /** Bytes of the batch that is being read. */
  #open = 0
  #bytes = 0
  #fetched: number
  #wanted: number
  #handedOut: number | undefined

  constructor(partition: TopicPartition, from: number, decompress: Decompress) {
    this.#partition = partition
    this.#decompress = decompress
    this.#fetched = from
    this.#wanted = from
  }

  /** From where to fetch. */
  get fetched(): number {
    return this.#fetched
  }

  /** Compressed bytes that wait. */
  get bytes(): number {
    return this.#bytes
  }

  /** Whether every record below `offset` that there is was handed out. */
  drainedBelow(offset: number): boolean {
    if (this.#held !== undefined) return this.#held.offset >= offset
    return this.empty && this.#fetched >= offset
  }

  /** Whether every fetched record was handed out. */
  get empty(): boolean {
    return this.#held === undefined && this.#reader === undefined && this.#batches.length === 0
  }

  /** The offset after the last record that was handed out, if one was. */
  get handedOut(): number | undefined {
    return this.#handedOut
  }

  /** The answer to a fetch from `fetched`. */
  add({ batches, end }: Batches): void {
    for (const batch of batches) {
      this.#batches.push(batch)
      this.#bytes += batch.content.length
    }
    if (end !== undefined && end > this.#fetched) this.#fetched = end
  }

  /** Nothing is left below `offset`. */
  jump(offset: number): void {
    this.#fetched = Math.max(this.#fetched, offset)
  }

  clear(): void {
    this.#batches.length = 0
    this.#reader = undefined
    this.#held = undefined
    this.#open = 0
    this.#bytes = 0
  }

  /**
   * The next records within the limit. Empty when nothing waits, or nothing below `limit.before`. One call at a time. What
   * cannot be read is never passed over: what stands before it is handed out, and then every call throws.
   */
  async take({ events, bytes, before = Number.POSITIVE_INFINITY }: ReadLimit): Promise<LogRecord[]> {
    const records: LogRecord[] = []
    let size = 0
    while (records.length < events) {
      let record: LogRecord | undefined
      try {
        record = this.#held ?? this.#reader?.next()
        if (record === undefined) {
          if (await this.#openNext()) continue
          break
        }
      } catch (error) {
        if (records.length > 0) break
        throw error
      }
      this.#held = undefined
      if (record.offset < this.#wanted) continue
      size += sizeOf(record)
      if (record.offset >= before || (records.length > 0 && size > bytes)) {
        this.#held = record
        break
      }
      records.push(record)
      this.#wanted = record.offset + 1
      this.#handedOut = this.#wanted
    }
    return records
  }

  async #openNext(): Promise<boolean> {
    this.#reader = undefined
    this.#bytes -= this.#open
    this.#open = 0
    const [batch] = this.#batches
    if (batch === undefined) return false
    const content = batch.codec === 0 ? batch.content : await this.#decompress(batch.codec, batch.content)
    // Cleared meanwhile: the lane is over.
    if (this.#batches[0] !== batch) return false
    this.#batches.shift()
    this.#open = batch.content.length
    this.#reader = new RecordReader(batch, content, this.#partition)
    return true
  }
}
