import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeJournal, encodeJournal, isJournal } from '../../../connectors/kafka/journal.ts'

const offset = fc.integer({ min: 0, max: 2 ** 48 })
const committed = fc
  .record({ from: offset, steps: fc.array(fc.integer({ min: 1, max: 1e6 }), { maxLength: 50 }) })
  .map(({ from, steps }) => {
    let end = from
    return { from, ends: steps.map((step) => (end += step)) }
  })

describe('the journal in a committed offset', () => {
  test('comes back as it was', () => {
    fc.assert(
      fc.property(committed, (journal) => {
        const { offset: stored, metadata } = encodeJournal(journal)
        expect(isJournal(metadata)).toBe(true)
        expect(decodeJournal(stored, metadata)).toEqual(journal)
      }),
    )
  })

  test('keeps to what a broker takes as metadata, and keeps the first ends', () => {
    const ends = Array.from({ length: 3000 }, (_, index) => (index + 1) * 10_000)
    const { offset: stored, metadata } = encodeJournal({ from: 0, ends })
    expect(Buffer.byteLength(metadata)).toBeLessThanOrEqual(4096)
    const read = decodeJournal(stored, metadata).ends
    expect(read.length).toBeGreaterThan(500)
    expect(read).toEqual(ends.slice(0, read.length))
  })

  test('of another program, or damaged, is a position without blocks in flight', () => {
    fc.assert(
      fc.property(offset, fc.option(fc.string({ maxLength: 20 })), (from, metadata) => {
        const read = decodeJournal(String(from), metadata)
        expect(read.from).toBe(from)
        expect(isJournal(metadata) ? [] : read.ends).toEqual([])
      }),
    )
    for (const metadata of ['m1:x y', 'm1:0', 'm1:-1', 'm1:1,,2', 'm1:', 'm2:1'])
      expect(decodeJournal('7', metadata)).toEqual({ from: 7, ends: [] })
  })
})
