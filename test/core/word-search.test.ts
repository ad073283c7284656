import { expect, test } from 'vitest'
import type { Match } from '../../src/core/vector-store.ts'
import { searchWordByWord } from '../../src/core/word-search.ts'
import { wordsOfFields } from '../../src/core/words.ts'

const vector = Float32Array.of(1)

function matchOf(id: string, score: number, text: string): Match {
  return { id, score, fields: { text }, timestamp: 0, position: { topic: 't', partition: 0, offset: 0 } }
}

/** What a store answers that knows which points have all of some words. */
function storeOf(matches: readonly Match[], k: number) {
  const asked: (readonly string[])[] = []
  const nearest = async (words: readonly string[]) => {
    asked.push(words)
    const having = matches.filter(({ fields }) => words.every((word) => wordsOfFields(fields).includes(word)))
    return having.sort((left, right) => right.score - left.score).slice(0, k)
  }
  return { asked, nearest }
}

test('each word is asked for alone and all of them together; one word once', async () => {
  const { asked, nearest } = storeOf([], 3)
  expect(await searchWordByWord({ words: ['a', 'b'], vector, k: 3 }, nearest)).toEqual([])
  expect(asked).toEqual([['a'], ['b'], ['a', 'b']])
  await searchWordByWord({ words: ['c'], vector, k: 3 }, nearest)
  expect(asked).toHaveLength(4)
})

test('rare words come first, then the nearer ones, each point once, and no more than asked for', async () => {
  const common = Array.from({ length: 9 }, (_, n) => matchOf(`p${n}`, n / 10, 'error in checkout'))
  const { nearest } = storeOf([...common, matchOf('rare', -1, 'code 4711')], 3)
  const found = await searchWordByWord({ words: ['error', '4711', 'in'], vector, k: 3 }, nearest)
  expect(found.map(({ id }) => id)).toEqual(['rare', 'p8', 'p7'])
})

test('what has all of the words is found however far away it is', async () => {
  const halves = Array.from({ length: 20 }, (_, n) => matchOf(`p${n}`, n / 20, n % 2 === 0 ? 'red' : 'shoes'))
  const { nearest } = storeOf([...halves, matchOf('both', -0.5, 'shoes, red')], 4)
  const [best] = await searchWordByWord({ words: ['red', 'shoes'], vector, k: 4 }, nearest)
  expect(best?.id).toBe('both')
})
