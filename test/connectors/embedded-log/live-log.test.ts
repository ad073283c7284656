import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { openEmbeddedLiveLog } from '../../../connectors/embedded-log/index.ts'
import type { LiveEvent } from '../../../src/core/live-log.ts'
import { liveLogContract } from '../../contracts/live-log.ts'

liveLogContract('the embedded live log', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-live-'))
  return { open: () => openEmbeddedLiveLog(folder), remove: () => rm(folder, { recursive: true }) }
})

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-live-'))
})
afterEach(() => rm(folder, { recursive: true }))

function events(count: number): LiveEvent[] {
  return Array.from({ length: count }, (_, index) => ({ id: String(index), key: null, value: index, timestamp: 0 }))
}

test('keeps the last events of each channel only; offsets go on', async () => {
  const log = await openEmbeddedLiveLog(folder, { keepEvents: 100 })
  for (let call = 0; call < 30; call++)
    await log.append(
      'c',
      'lane',
      events(10),
      Array.from({ length: 10 }, (_, index) => call * 10 + index),
    )
  const head = await log.head('c')
  expect(head).toMatchObject({ first: 200, next: 300 })
  const kept = await log.read('c', 0, 1000)
  expect(kept.map(({ offset }) => offset)).toEqual(Array.from({ length: 100 }, (_, index) => 200 + index))
  await log.close()
})

test('keeps events for their time only', async () => {
  const log = await openEmbeddedLiveLog(folder, { keepMs: 50 })
  await log.append('c', 'lane', events(3), [1, 2, 3])
  expect(await log.read('c', 0, 10)).toHaveLength(3)
  await new Promise((resolve) => setTimeout(resolve, 80))
  await log.append('c', 'lane', events(1), [4])
  expect(await log.head('c')).toMatchObject({ first: 3, next: 4 })
  await log.close()
})

test('the times of appends ascend though the clock is set back', async () => {
  vi.useFakeTimers({ toFake: ['Date'], now: 2_000_000 })
  try {
    const log = await openEmbeddedLiveLog(folder)
    await log.append('c', 'lane', events(2), [1, 2])
    vi.setSystemTime(1_500_000)
    await log.append('c', 'lane', events(1), [3])
    vi.setSystemTime(2_500_000)
    await log.append('c', 'lane', events(1), [4])
    const times = (await log.read('c', 0, 10)).map(({ appended }) => appended)
    expect(times).toEqual([2_000_000, 2_000_000, 2_000_000, 2_500_000])
    await log.close()
  } finally {
    vi.useRealTimers()
  }
})

test('a follower has an event as soon as its append is answered', async () => {
  const log = await openEmbeddedLiveLog(folder)
  const stop = new AbortController()
  const answered: number[] = []
  const received: number[] = []
  const following = (async () => {
    for await (const batch of log.follow('c', 0, stop.signal)) for (const _ of batch) received.push(performance.now())
  })()
  for (let n = 0; n < 100; n++) {
    await log.append('c', 'lane', events(1), [n])
    answered.push(performance.now())
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  stop.abort()
  await following
  expect(received).toHaveLength(100)
  const delays = answered.map((time, index) => (received[index] ?? Number.POSITIVE_INFINITY) - time)
  // The median, for the machine may be busy. Polling would take 12 ms.
  expect(delays.sort((a, b) => a - b)[50]).toBeLessThan(5)
  await log.close()
})
