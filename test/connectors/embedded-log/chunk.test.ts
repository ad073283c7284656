import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  ChunkReader,
  decodeChunk,
  encodeChunk,
  encodeRecords,
  joinPieces,
} from '../../../connectors/embedded-log/chunk.ts'
import type { LogRecord, NewRecord } from '../../../src/core/event.ts'

const content = fc.option(fc.uint8Array({ maxLength: 400 }))
const record: fc.Arbitrary<NewRecord> = fc.record({
  key: content,
  value: content,
  headers: fc.dictionary(fc.string({ unit: 'grapheme', maxLength: 8 }), fc.uint8Array({ maxLength: 200 }), {
    maxKeys: 3,
  }),
  timestamp: fc.oneof(fc.maxSafeNat(), fc.double({ noNaN: true, min: 0, max: 1e13 })),
})
const base = fc.maxSafeNat().map((offset) => Math.floor(offset / 2))
const partition = { topic: 't', partition: 3 }

function plain({ key, value, headers, timestamp }: NewRecord) {
  const array = (bytes: Uint8Array | null) => bytes && [...bytes]
  // Headers are compared as entries: their order counts.
  return {
    key: array(key),
    value: array(value),
    headers: Object.entries(headers ?? {}).map(([name, bytes]) => [name, array(bytes)]),
    timestamp,
  }
}

test('records come out of a chunk as they went in, at consecutive offsets', () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(record, { minLength: 1 }), { minLength: 1, maxLength: 3 }),
      base,
      (appends, first) => {
        const chunk = joinPieces(
          appends.flatMap((records) => encodeRecords(records, 0)),
          5,
        )
        const decoded = decodeChunk(chunk, partition, first)
        expect(decoded.map(plain)).toEqual(appends.flat().map(plain))
        expect(decoded.map(({ offset }) => offset)).toEqual(decoded.map((_, index) => first + index))
      },
    ),
  )
})

test('a chunk keeps its offsets when records are left out of it, and can be read piece by piece', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(record, fc.boolean()), { minLength: 1 }), base, fc.nat(4), (entries, first, step) => {
      const all = decodeChunk(
        joinPieces(
          encodeRecords(
            entries.map(([each]) => each),
            0,
          ),
          5,
        ),
        partition,
        first,
      )
      const kept = all.filter((_, index) => entries[index]?.[1])
      const chunk = encodeChunk(kept, first, { count: 0, span: all.length, appended: 5 })
      const reader = new ChunkReader(chunk, partition, first)
      const read: LogRecord[] = []
      for (;;) {
        const more: LogRecord[] = []
        const { limited } = reader.read(more, first, { events: step + 1, bytes: 300, before: Number.MAX_SAFE_INTEGER })
        read.push(...more)
        if (!limited) break
      }
      expect(read).toEqual(kept)
      expect(reader.end).toBe(first + all.length)
    }),
  )
})

test('a large append is cut into pieces that are cheap to read from', () => {
  const records = Array.from({ length: 1000 }, () => ({ key: null, value: Buffer.alloc(1000) }))
  const pieces = encodeRecords(records, 0)
  expect(pieces.reduce((sum, { count }) => sum + count, 0)).toBe(1000)
  for (const { bytes } of pieces) expect(bytes.length).toBeLessThan(70_000)
})
