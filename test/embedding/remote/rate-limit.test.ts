import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RateLimit } from '../../../src/embedding/remote/rate-limit.ts'

test('no minute has more requests or tokens than it may, and none fewer than it could', () => {
  const scene = fc.record({
    requestsPerMinute: fc.integer({ min: 1, max: 600 }),
    tokensPerMinute: fc.integer({ min: 1_000, max: 100_000 }),
    sizes: fc.array(fc.integer({ min: 1, max: 2_000 }), { minLength: 1, maxLength: 400 }),
    idle: fc.array(fc.integer({ min: 0, max: 90_000 }), { minLength: 1, maxLength: 5 }),
  })
  fc.assert(
    fc.property(scene, ({ requestsPerMinute, tokensPerMinute, sizes, idle }) => {
      const limit = new RateLimit({ requestsPerMinute, tokensPerMinute })
      const sent: { at: number; tokens: number }[] = []
      let now = 5_000
      for (const [index, size] of sizes.entries()) {
        const tokens = Math.min(size, limit.tokensAtOnce)
        if (index % 97 === 0) now += idle[index % idle.length] ?? 0
        for (let wait = limit.waitMs(tokens, now); wait > 0; wait = limit.waitMs(tokens, now)) now += wait
        limit.sent(tokens, now)
        sent.push({ at: now, tokens })
      }
      for (const { at } of sent) {
        const minute = sent.filter((each) => each.at >= at && each.at < at + 60_000)
        expect(minute.length).toBeLessThanOrEqual(requestsPerMinute)
        expect(minute.reduce((sum, { tokens }) => sum + tokens, 0)).toBeLessThanOrEqual(tokensPerMinute)
      }
      const minutes = (now - 5_000) / 60_000
      const total = sizes.reduce((sum, size) => sum + Math.min(size, limit.tokensAtOnce), 0)
      const needed = Math.max(sizes.length / requestsPerMinute, total / tokensPerMinute)
      const idled = idle.reduce((sum, each) => sum + each, 0) / 60_000
      // Nine tenths flow evenly, and what has come in may have to be waited for by both.
      expect(minutes).toBeLessThanOrEqual(needed * 2.5 + idled * 5 + 1)
    }),
    { numRuns: 60 },
  )
})

test('nothing is sent while the server wants to be left alone, and the longest wish holds', () => {
  const limit = new RateLimit({})
  expect(limit.waitMs(1_000_000, 100)).toBe(0)
  limit.pause(500, 100)
  limit.pause(50, 200)
  expect(limit.waitMs(1, 300)).toBe(300)
  expect(limit.pauseMs(601)).toBe(0)
})
