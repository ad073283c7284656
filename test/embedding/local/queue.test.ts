import fc from 'fast-check'
import { expect, it } from 'vitest'
import { TextQueue } from '../../../src/embedding/local/queue.ts'
import type { Text } from '../../../src/embedding/local/text.ts'
import { textOf } from './texts.ts'

const lengthsOf = (texts: readonly Text[]) => texts.map(({ ids }) => ids.length)

it('starts every batch with the oldest, keeps the budget, and loses nothing', () => {
  const steps = fc.array(fc.array(fc.integer({ min: 1, max: 256 }), { maxLength: 40 }), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 600 }), (additions, budget) => {
      const queue = new TextQueue()
      const waiting: Text[] = []
      const takeOne = () => {
        const batch = queue.take(budget)
        if (waiting.length === 0) return expect(batch).toEqual([])
        expect(batch).toContain(waiting[0])
        if (batch.length > 1) expect(batch.length * Math.max(...lengthsOf(batch))).toBeLessThanOrEqual(budget)
        for (const taken of batch) waiting.splice(waiting.indexOf(taken), 1)
      }
      for (const lengths of additions) {
        for (const length of lengths) {
          const added = textOf(length)
          queue.add(added)
          waiting.push(added)
        }
        takeOne()
      }
      expect(queue.size).toBe(waiting.length)
      expect(queue.tokens).toBe(waiting.reduce((sum, { ids }) => sum + ids.length, 0))
      while (waiting.length > 0) takeOne()
      expect([queue.size, queue.tokens]).toEqual([0, 0])
    }),
  )
})

it('puts texts of the same length together where they fill a batch, however far apart they came', () => {
  const queue = new TextQueue()
  for (let n = 0; n < 400; n++) queue.add(textOf(20 + (n % 40)))
  expect(lengthsOf(queue.take(200))).toEqual(new Array(10).fill(20))
  expect(lengthsOf(queue.take(210))).toEqual(new Array(10).fill(21))
})

it('fills up with texts of near length, none of which is padded by more than a run of its own would cost', () => {
  const queue = new TextQueue()
  for (const length of [20, 200, 21, 190, 19, 206]) queue.add(textOf(length))
  const batch = () => lengthsOf(queue.take(1_000)).sort((a, b) => a - b)
  expect([batch(), batch(), batch()]).toEqual([[19, 20, 21], [190, 200, 206], []])
})

it('takes what failed before first, and alone', () => {
  const queue = new TextQueue()
  const [first, second, fresh] = [textOf(20), textOf(20), textOf(20)]
  queue.add(fresh)
  queue.addAgain(first)
  queue.addAgain(second)
  expect([queue.take(500), queue.take(500), queue.take(500)]).toEqual([[first], [second], [fresh]])
})
