declare module 'kafkajs/src/protocol/recordBatch/record/v0/index.js' {
  import type Encoder from 'kafkajs/src/protocol/encoder.js'

  export default function encodeRecord(record: {
    readonly offsetDelta: number
    readonly timestampDelta: number
    readonly key: Buffer | null
    readonly value: Buffer | null
    readonly headers: Readonly<Record<string, Buffer>>
  }): Encoder
}

declare module 'kafkajs/src/protocol/recordBatch/v0/index.js' {
  import type Encoder from 'kafkajs/src/protocol/encoder.js'

  const recordBatch: {
    RecordBatch(batch: {
      readonly compression: number
      readonly firstOffset: number
      readonly firstTimestamp: number
      readonly maxTimestamp: number
      readonly lastOffsetDelta: number
      readonly transactional?: boolean
      readonly producerId?: number
      readonly records: readonly Encoder[]
    }): Promise<Encoder>
  }
  export default recordBatch
}
