import fc from 'fast-check'
import { expect, test } from 'vitest'
import { wordsOf } from '../../src/core/words.ts'
import { bm25, countWords, type WordCounts } from '../../src/search/bm25.ts'

function score(query: string, documents: readonly string[]): number[] {
  const terms = [...new Set(wordsOf(query))]
  return bm25(documents.map((text) => countWords(terms, wordsOf(text))))
}

test('counts whole words, whatever their case', () => {
  expect(countWords(['error', '4711'], wordsOf('Error ERR_4711, error 47110'))).toEqual({ length: 5, counts: [2, 1] })
})

test('a rare word counts for more than a common one', () => {
  const [rare = 0, common = 0, neither] = score('error 4711', [
    'code 4711',
    'error x',
    'some thing',
    'error y',
    'error z',
  ])
  expect(rare).toBeGreaterThan(common)
  expect(common).toBeGreaterThan(0)
  expect(neither).toBe(0)
})

test('of documents with the same words the shorter one has more, and a word said again adds ever less', () => {
  const filling = 'and much else beside it'
  const [short = 0, long = 0] = score('code', ['the code', `the code ${filling}`, filling])
  expect(short).toBeGreaterThan(long)
  const others = Array.from({ length: 30 }, () => 'a b')
  const saying = (times: number) => `${'code '.repeat(times)}${'and so on '.repeat(9)}`
  const [once = 0, twice = 0, thrice = 0] = score('code', [saying(1), saying(2), saying(3), ...others])
  expect(twice - once).toBeGreaterThan(thrice - twice)
  expect(thrice).toBeGreaterThan(twice)
})

test('1 is for every word in a text that is not long; saying one word often does not make up for another', () => {
  const [full, often = 0, lacking] = score('error 4711', [
    'error 4711',
    'error error error error',
    'what else is there',
  ])
  expect(full).toBe(1)
  expect(often).toBeLessThan(0.5)
  expect(lacking).toBe(0)
  const [onlyCommon] = score('error 4711', ['error x', 'what else'])
  expect(onlyCommon).toBeLessThan(0.5)
})

const documents = fc.integer({ min: 1, max: 5 }).chain((terms) =>
  fc.array(
    fc
      .tuple(fc.array(fc.nat(50), { minLength: terms, maxLength: terms }), fc.nat(500))
      .map(([counts, others]): WordCounts => ({ counts, length: counts.reduce((sum, n) => sum + n, others) })),
    { maxLength: 30 },
  ),
)

test('is from 0 to 1, and 0 just where there is none of the words', () => {
  fc.assert(
    fc.property(documents, (all) => {
      for (const [index, value] of bm25(all).entries()) {
        expect(value).toBeGreaterThanOrEqual(0)
        expect(value).toBeLessThanOrEqual(1)
        expect(value > 0).toBe(all[index]?.counts.some((count) => count > 0))
      }
    }),
  )
})

test('one more of a word in place of another one never takes anything away', () => {
  fc.assert(
    fc.property(documents, fc.nat(), fc.nat(), (all, one, other) => {
      const index = one % Math.max(1, all.length)
      const document = all[index]
      const term = other % (document?.counts.length ?? 1)
      // In a document that has the word already, so that no frequency changes, and that has other words.
      if (document === undefined || (document.counts[term] ?? 0) === 0) return
      if (document.length === document.counts.reduce((sum, n) => sum + n, 0)) return
      const counts = document.counts.map((count, at) => (at === term ? count + 1 : count))
      const more = all.map((each, at) => (at === index ? { ...each, counts } : each))
      expect(bm25(more)[index]).toBeGreaterThanOrEqual(bm25(all)[index] ?? 0)
    }),
  )
})
