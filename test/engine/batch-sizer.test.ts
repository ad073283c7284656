import { expect, test } from 'vitest'
import { BatchSizer } from '../../src/engine/batch-sizer.ts'

const bytesPerEvent = 400

/** Batches of the size that is asked for, `inFlight` of them side by side, at so many events per second together. */
function run(sizer: BatchSizer, perSecond: number, { seconds = 30, inFlight = 1, available = 1e6 } = {}): number {
  const started: { at: number; events: number }[] = []
  let now = 0
  while (now < seconds * 1000) {
    while (started.length < inFlight) {
      const events = Math.min(sizer.limit.events, Math.ceil((sizer.limit.bytes ?? 0) / bytesPerEvent), available)
      started.push({ at: now, events })
    }
    const batch = started.shift()
    if (batch === undefined) break
    now += (batch.events * 1000) / perSecond
    sizer.took(batch.at, now, batch.events, batch.events * bytesPerEvent)
  }
  return sizer.limit.events
}

test('a batch holds what takes about 100 ms, however many are in flight', () => {
  for (const inFlight of [1, 4, 16]) {
    expect(run(new BatchSizer(), 300, { inFlight })).toBeGreaterThanOrEqual(20)
    expect(run(new BatchSizer(), 300, { inFlight })).toBeLessThanOrEqual(40)
    expect(run(new BatchSizer(), 1e6, { inFlight })).toBe(1_000)
    expect(run(new BatchSizer(), 2, { inFlight })).toBe(8)
  }
})

test('it starts small, and follows a speed that changes', () => {
  const sizer = new BatchSizer()
  expect(sizer.limit.events).toBe(8)
  expect(run(sizer, 1e6)).toBe(1_000)
  expect(run(sizer, 300)).toBeLessThanOrEqual(40)
  expect(run(sizer, 1e6)).toBe(1_000)
})

test('single events do not make it grow', () => {
  const sizer = new BatchSizer()
  expect(run(sizer, 1e6, { seconds: 0.01, available: 1 })).toBe(8)
})

test('batches that end together are measured together', () => {
  const sizer = new BatchSizer()
  let now = 0
  for (let round = 0; round < 50; round++) {
    const { events } = sizer.limit
    const from = now
    now += (8 * events * 1000) / 300
    for (let n = 0; n < 8; n++) sizer.took(from, now, events, events * bytesPerEvent)
  }
  expect(sizer.limit.events).toBeGreaterThanOrEqual(15)
  expect(sizer.limit.events).toBeLessThanOrEqual(60)
})
