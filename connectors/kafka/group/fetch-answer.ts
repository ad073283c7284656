import { Fatal } from '../../../src/core/errors.ts'
import type { TopicPartition } from '../../../src/core/event.ts'
import type { AbortedTransaction } from './record-batch.ts'

/** What a broker answers for one partition of a fetch. */
export interface FetchedPartition extends TopicPartition {
  /** 0 when nothing went wrong. */
  readonly errorCode: number
  /** The offset that the next appended record gets. -1 with an error. */
  readonly highWatermark: number
  /** Nothing from here on is handed out yet: a transaction is open. -1 with an error. */
  readonly lastStable: number
  readonly aborted: readonly AbortedTransaction[]
  /** Record batches, the last of which may be cut off. */
  readonly records: Buffer
}

export interface FetchAnswer {
  /** How long the broker asks for no more requests, milliseconds. */
  readonly throttle: number
  readonly errorCode: number
  readonly partitions: readonly FetchedPartition[]
}

/** The oldest version with transactions, and the newest that kafkajs writes. */
export const fetchVersions = { oldest: 4, newest: 11 } as const

/** Part of an answer that may keep the whole of it in memory. */
const worthCopying = 0.9

/**
 * Reads the answer to a Fetch request of version 4 to 11 (kafka.apache.org/protocol, "Fetch API"). kafkajs's own decoder
 * makes several objects of each record; here the records stay as they came.
 */
export function decodeFetchAnswer(payload: Buffer, version: number): FetchAnswer {
  if (version < fetchVersions.oldest)
    throw new Fatal({ code: 'old_broker', message: 'the brokers are older than Kafka 0.11, which is not supported' })
  let at = 0
  const int16 = () => {
    at += 2
    return payload.readInt16BE(at - 2)
  }
  const int32 = () => {
    at += 4
    return payload.readInt32BE(at - 4)
  }
  const int64 = () => {
    at += 8
    return payload.readInt32BE(at - 8) * 0x1_0000_0000 + payload.readUInt32BE(at - 4)
  }
  const bytes = (length: number) => {
    if (length <= 0) return empty
    const end = at + length
    if (end > payload.length) throw new RangeError('the answer to a fetch ends too soon')
    const content = payload.subarray(at, end)
    at = end
    return content
  }
  const many = <T>(read: () => T) => Array.from({ length: Math.max(0, int32()) }, read)
  const readPartition = (topic: string): FetchedPartition => {
    const partition = int32()
    const errorCode = int16()
    const highWatermark = int64()
    const lastStable = int64()
    // The start of the log, as of version 5.
    if (version >= 5) at += 8
    const aborted = many(() => ({ producer: int64(), first: int64() }))
    // The replica to read from, as of version 11.
    if (version >= 11) at += 4
    const records = bytes(int32())
    const keepsMuch = records.length > 0 && records.length < worthCopying * payload.length
    return {
      topic,
      partition,
      errorCode,
      highWatermark,
      lastStable,
      aborted,
      records: keepsMuch ? Buffer.from(records) : records,
    }
  }
  const throttle = int32()
  const errorCode = version >= 7 ? int16() : 0
  // The session, which is not used.
  if (version >= 7) at += 4
  const partitions = many(() => {
    const topic = bytes(int16()).toString()
    return many(() => readPartition(topic))
  }).flat()
  return { throttle, errorCode, partitions }
}

const empty = Buffer.alloc(0)
