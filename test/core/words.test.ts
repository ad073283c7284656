import { expect, test } from 'vitest'
import { wordsOf, wordsOfFields } from '../../src/core/words.ts'

test('words are unbroken runs of letters and digits, in lower case and one form', () => {
  expect(wordsOf('ERR_4711: v1.2, “ÜBERFÄLLE” cafe\u0301 ﬁx ４２ 東京 हिन्दी!')).toEqual([
    'err',
    '4711',
    'v1',
    '2',
    'überfälle',
    'café',
    'fix',
    '42',
    '東京',
    'हिन्दी',
  ])
  expect(wordsOf(' …?! ')).toEqual([])
})

test('the words of fields are those of their texts, which no word spans; the end of a very long text is left aside', () => {
  expect(wordsOfFields({ a: 'one', n: 4711, b: 'Two three', open: true, none: null })).toEqual(['one', 'two', 'three'])
  const words = wordsOfFields({ a: 'word '.repeat(100_000) })
  expect(words.length).toBeGreaterThan(6_000)
  expect(words.length).toBeLessThan(7_000)
})
