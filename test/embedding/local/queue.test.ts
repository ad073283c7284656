import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Work } from '../../../src/embedding/backend.ts'
import { type QueuedText, TextQueue } from '../../../src/embedding/local/queue.ts'

const work: Work = {
  text: '',
  priority: 'bulk',
  wanted: () => true,
  done() {},
  failed() {},
  dropped() {},
}
const entry = (estimate: number): QueuedText => ({ work, estimate, failures: 0 })

it('starts every batch with the oldest, keeps the budget, and loses nothing', () => {
  const steps = fc.array(fc.array(fc.integer({ min: 1, max: 256 }), { maxLength: 40 }), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 600 }), (additions, budget) => {
      const queue = new TextQueue()
      const waiting: QueuedText[] = []
      const takeOne = () => {
        const batch = queue.take(budget)
        if (waiting.length === 0) return expect(batch).toEqual([])
        const longest = Math.max(...batch.map(({ estimate }) => estimate))
        expect(batch).toContain(waiting[0])
        if (batch.length > 1) expect(batch.length * longest).toBeLessThanOrEqual(budget)
        for (const taken of batch) waiting.splice(waiting.indexOf(taken), 1)
      }
      for (const estimates of additions) {
        for (const estimate of estimates) {
          const added = entry(estimate)
          queue.add(added)
          waiting.push(added)
        }
        takeOne()
      }
      expect(queue.size).toBe(waiting.length)
      expect(queue.tokens).toBe(waiting.reduce((sum, { estimate }) => sum + estimate, 0))
      while (waiting.length > 0) takeOne()
      expect([queue.size, queue.tokens]).toEqual([0, 0])
    }),
  )
})

it('puts texts of near length together', () => {
  const queue = new TextQueue()
  for (const estimate of [20, 200, 21, 190, 19, 210]) queue.add(entry(estimate))
  const lengths = () => queue.take(1_000).map(({ estimate }) => estimate)
  expect([lengths(), lengths(), lengths()]).toEqual([[19, 20, 21], [190, 200, 210], []])
})

it('takes what failed before first, and alone', () => {
  const queue = new TextQueue()
  const [first, second, fresh] = [entry(20), entry(20), entry(20)]
  queue.add(fresh)
  queue.addAgain(first)
  queue.addAgain(second)
  expect([queue.take(500), queue.take(500), queue.take(500)]).toEqual([[first], [second], [fresh]])
})
