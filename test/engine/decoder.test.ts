import { describe, expect, test } from 'vitest'
import type { LogRecord } from '../../src/core/event.ts'
import { decodeRecords } from '../../src/engine/decoder.ts'
import { createExpressions } from '../../src/expressions/index.ts'
import { jsonCodec } from '../../src/serde/json.ts'

function record(offset: number, value: string): LogRecord {
  return { topic: 't', partition: 0, offset, key: null, value: Buffer.from(value), headers: {}, timestamp: 1 }
}

describe('decoding', () => {
  test("an event for which the pipeline's id is empty is a dead letter, and the ones beside it go on", () => {
    const id = createExpressions().compile('value.id', 'string')
    const records = [record(0, '{"id":"a"}'), record(1, '{"id":""}'), record(2, '{"id":7}'), record(3, '{')]
    const { events, deadLetters } = decodeRecords(records, jsonCodec(), id)
    expect(events.map((event) => event.id)).toEqual(['a', '7'])
    expect(deadLetters).toMatchObject([
      { offset: 1, component: 'source', code: 'empty_id' },
      { offset: 3, component: 'source', code: 'bad_bytes' },
    ])
  })
})
