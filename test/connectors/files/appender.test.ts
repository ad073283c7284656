import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Appender } from '../../../connectors/files/appender.ts'
import type { NewRecord } from '../../../src/core/event.ts'

const record = (size: number): NewRecord => ({ key: null, value: Buffer.alloc(size) })

it('appends one group at a time, in order, and stores nothing after a failure', async () => {
  const steps = fc.array(fc.record({ records: fc.integer({ min: 1, max: 300 }), waits: fc.nat({ max: 3 }) }), {
    maxLength: 20,
  })
  await fc.assert(
    fc.asyncProperty(steps, fc.nat({ max: 20 }), async (given, failsAt) => {
      let underWay = 0
      let appends = 0
      const stored: string[] = []
      const appender = new Appender(async (records, changes = []) => {
        expect(++underWay).toBe(1)
        for (let turn = 0; turn < 3; turn++) await Promise.resolve()
        underWay--
        if (appends++ === failsAt) throw new Error('the log is down')
        expect(records.length).toBeLessThanOrEqual(256 + 300 * given.length)
        stored.push(...changes.map(({ key }) => key))
        return []
      })
      const work = given.map(async ({ records, waits }, index) => {
        for (let turn = 0; turn < waits; turn++) await Promise.resolve()
        await appender.add(
          Array.from({ length: records }, () => record(1)),
          { key: `${index}`, value: 1 },
        )
      })
      const results = await Promise.allSettled([...work, Promise.allSettled(work).then(() => appender.flush())])
      const failed = results.some(({ status }) => status === 'rejected')
      expect(failed).toBe(appends > failsAt)
      if (failed) expect(appends).toBe(failsAt + 1)
      else expect(stored.toSorted()).toEqual(given.map((_, index) => `${index}`).toSorted())
    }),
  )
})

it('makes whoever adds wait while the log is slow', async () => {
  let release: () => void = () => undefined
  const appender = new Appender(() => new Promise((done) => (release = () => done([]))))
  await appender.add([record(2_000_000)])
  let added = false
  const second = appender.add([record(2_000_000)]).then(() => {
    added = true
  })
  await new Promise((done) => setTimeout(done, 20))
  expect(added).toBe(false)
  release()
  await second
  const flushed = appender.flush()
  await new Promise((done) => setTimeout(done, 20))
  release()
  await flushed
})
