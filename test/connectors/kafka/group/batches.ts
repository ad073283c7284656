import encodeRecord from 'kafkajs/src/protocol/recordBatch/record/v0/index.js'
import encoding from 'kafkajs/src/protocol/recordBatch/v0/index.js'

export interface TestRecord {
  /** From the record before, at least 1: compaction leaves gaps. */
  readonly step: number
  readonly timestamp: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Readonly<Record<string, Buffer>>
}

export interface TestBatch {
  readonly base: number
  readonly records: readonly TestRecord[]
  /** 0 none, 1 gzip. */
  readonly compression?: number
  readonly producer?: number
  readonly transactional?: boolean
  readonly control?: boolean
}

const attributesAt = 21
const controlBit = 0x20

export function offsetsOf({ base, records }: TestBatch): number[] {
  let offset = base - 1
  return records.map(({ step }, index) => {
    offset += index === 0 ? 1 : step
    return offset
  })
}

/** The batch as kafkajs would send it, at its place in the log. */
export async function encode(batch: TestBatch): Promise<Buffer> {
  const { base, records, compression = 0, producer = -1, transactional = false, control = false } = batch
  const offsets = offsetsOf(batch)
  const first = records[0]?.timestamp ?? 0
  const encoded = await encoding.RecordBatch({
    compression,
    firstOffset: base,
    firstTimestamp: first,
    maxTimestamp: records.reduce((latest, { timestamp }) => Math.max(latest, timestamp), first),
    lastOffsetDelta: (offsets.at(-1) ?? base) - base,
    transactional,
    producerId: producer,
    records: records.map(({ timestamp, key, value, headers }, index) =>
      encodeRecord({
        offsetDelta: (offsets[index] ?? 0) - base,
        timestampDelta: timestamp - first,
        key,
        value,
        headers,
      }),
    ),
  })
  const bytes = Buffer.from(encoded.buffer)
  if (control) bytes.writeInt16BE(bytes.readInt16BE(attributesAt) | controlBit, attributesAt)
  return bytes
}

export function plain(value: string): TestRecord {
  return { step: 1, timestamp: 1, key: null, value: Buffer.from(value), headers: {} }
}

/** What ends a transaction: a control record whose key is `version i16 | type i16`, type 1 for a commit. */
export function marker(commits: boolean): TestRecord {
  const key = Buffer.from([0, 0, 0, commits ? 1 : 0])
  return { step: 1, timestamp: 1, key, value: Buffer.alloc(6), headers: {} }
}
