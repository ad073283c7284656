import fc from 'fast-check'
import fetch from 'kafkajs/src/protocol/requests/fetch/index.js'
import { expect, test } from 'vitest'
import { decodeFetchAnswer } from '../../../../connectors/kafka/group/fetch-answer.ts'

const offset = fc.integer({ min: -1, max: 2 ** 50 })
const partition = fc.record({
  partition: fc.nat(100),
  errorCode: fc.integer({ min: -1, max: 100 }),
  highWatermark: offset,
  lastStable: offset,
  start: offset,
  aborted: fc.array(fc.record({ producer: fc.nat(2 ** 31), first: offset }), { maxLength: 3 }),
  records: fc.uint8Array({ maxLength: 50 }).map((content) => Buffer.from(content)),
})
const answer = fc.record({
  throttle: fc.nat(1000),
  errorCode: fc.nat(100),
  topics: fc.array(
    fc.record({ topic: fc.string({ maxLength: 20 }), partitions: fc.array(partition, { maxLength: 4 }) }),
  ),
})

type Answer = typeof answer extends fc.Arbitrary<infer T> ? T : never

function encode({ throttle, errorCode, topics }: Answer, version: number): Buffer {
  const one = (each: Answer['topics'][number]['partitions'][number]) => [
    int32(each.partition),
    int16(each.errorCode),
    int64(each.highWatermark),
    int64(each.lastStable),
    ...(version >= 5 ? [int64(each.start)] : []),
    int32(each.aborted.length),
    ...each.aborted.flatMap(({ producer, first }) => [int64(producer), int64(first)]),
    ...(version >= 11 ? [int32(-1)] : []),
    int32(each.records.length),
    each.records,
  ]
  return Buffer.concat([
    int32(throttle),
    ...(version >= 7 ? [int16(errorCode), int32(7)] : []),
    int32(topics.length),
    ...topics.flatMap(({ topic, partitions }) => {
      const name = Buffer.from(topic)
      return [int16(name.length), name, int32(partitions.length), ...partitions.flatMap(one)]
    }),
  ])
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(value)
  return bytes
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

function int64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(BigInt(value))
  return bytes
}

test.each([4, 5, 7, 10, 11])('the answer to a fetch of version %i is read as it was written', async (version) => {
  await fc.assert(
    fc.asyncProperty(answer, async (sent) => {
      const payload = encode(sent, version)
      const { throttle, errorCode, partitions } = decodeFetchAnswer(payload, version)
      expect([throttle, errorCode]).toEqual([sent.throttle, version >= 7 ? sent.errorCode : 0])
      expect(partitions).toEqual(
        sent.topics.flatMap(({ topic, partitions: all }) => all.map(({ start, ...rest }) => ({ topic, ...rest }))),
      )
    }),
  )
})

test('the layout is the one that kafkajs reads', async () => {
  const one = {
    partition: 5,
    errorCode: 0,
    highWatermark: 70,
    lastStable: 60,
    start: 3,
    aborted: [{ producer: 8, first: 9 }],
  }
  const sent = {
    throttle: 1,
    errorCode: 0,
    topics: [{ topic: 't', partitions: [{ ...one, records: Buffer.alloc(0) }] }],
  }
  for (const version of [4, 5, 7, 10, 11]) {
    const options = { isolationLevel: 1, maxWaitTime: 0, minBytes: 1, maxBytes: 1, topics: [] } as const
    const { response } = fetch.protocol({ version })(options)
    expect(await response.decode(encode(sent, version))).toMatchObject({
      responses: [
        {
          topicName: 't',
          partitions: [
            {
              partition: 5,
              highWatermark: '70',
              lastStableOffset: '60',
              abortedTransactions: [{ producerId: '8', firstOffset: '9' }],
              messages: [],
            },
          ],
        },
      ],
    })
  }
})

test('an answer that ends too soon is an error, and one before Kafka 0.11 is refused', () => {
  const payload = encode({ throttle: 0, errorCode: 0, topics: [{ topic: 'topic', partitions: [] }] }, 11)
  expect(() => decodeFetchAnswer(payload.subarray(0, payload.length - 2), 11)).toThrow(RangeError)
  expect(() => decodeFetchAnswer(payload, 3)).toThrow(expect.objectContaining({ code: 'old_broker' }))
})

test('records that are a small part of an answer do not keep it in memory', () => {
  const records = Buffer.alloc(10_000, 1)
  const each = { errorCode: 0, highWatermark: 0, lastStable: 0, start: 0, aborted: [] }
  const partitions = [0, 1].map((number) => ({ ...each, partition: number, records }))
  const payload = encode({ throttle: 0, errorCode: 0, topics: [{ topic: 't', partitions }] }, 11)
  for (const read of decodeFetchAnswer(payload, 11).partitions)
    expect(read.records.buffer === payload.buffer).toBe(false)
})
