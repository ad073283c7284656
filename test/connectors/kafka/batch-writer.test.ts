import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeRecords, recordBytes, sealBatch } from '../../../connectors/kafka/batch-writer.ts'
import { decompress } from '../../../connectors/kafka/codecs.ts'
import { crc32c } from '../../../connectors/kafka/crc32c.ts'
import { RecordReader, readBatches } from '../../../connectors/kafka/group/record-batch.ts'
import type { LogRecord } from '../../../src/core/event.ts'

const content = fc.uint8Array({ maxLength: 300 })
const record = fc.record({
  key: fc.option(content),
  value: fc.option(content),
  headers: fc.dictionary(fc.string({ maxLength: 8, unit: 'grapheme' }), content, { maxKeys: 3 }),
  timestamp: fc.integer({ min: 0, max: 4e12 }),
})
const compression = fc.constantFrom('none', 'gzip', 'snappy', 'lz4', 'zstd')
const plain = { id: '7', epoch: 1, sequence: 3, transactional: false }

const hex = (bytes: Uint8Array | null) => bytes && Buffer.from(bytes).toString('hex')

async function readAll(batch: Buffer): Promise<LogRecord[]> {
  const found: LogRecord[] = []
  for (const each of readBatches(batch, []).batches) {
    const reader = new RecordReader(each, await decompress(each.codec, each.content), { topic: 't', partition: 0 })
    for (let next = reader.next(); next; next = reader.next()) found.push(next)
  }
  return found
}

describe('a batch that is written', () => {
  test('is read as it was, in every codec', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(record, { minLength: 1, maxLength: 20 }), compression, async (records, codec) => {
        const read = await readAll(sealBatch(await encodeRecords(records, codec, 0), plain))
        expect(read.map(({ offset }) => offset)).toEqual(records.map((_, index) => index))
        for (const [index, { key, value, headers, timestamp }] of records.entries()) {
          expect(hex(read[index]?.key ?? null)).toBe(hex(key))
          expect(hex(read[index]?.value ?? null)).toBe(hex(value))
          expect(read[index]?.timestamp).toBe(timestamp)
          const names = Object.keys(headers).map((name) => Buffer.from(name).toString())
          expect(Object.keys(read[index]?.headers ?? {}).sort()).toEqual([...new Set(names)].sort())
        }
      }),
      { numRuns: 60 },
    )
  })

  test('is never larger than was reckoned', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(record, { minLength: 1, maxLength: 20 }), async (records) => {
        const { content: laidOut } = await encodeRecords(records, 'none', 0)
        expect(laidOut.length).toBeLessThanOrEqual(records.reduce((sum, each) => sum + recordBytes(each), 0))
      }),
    )
  })

  test('carries the checksum of RFC 3720', () => {
    // Appendix B.4: 32 bytes of zeroes, of ones, and ascending.
    expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa)
    expect(crc32c(Buffer.alloc(32, 0xff))).toBe(0x62a8ab43)
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, index) => index))).toBe(0x46dd794e)
  })
})
