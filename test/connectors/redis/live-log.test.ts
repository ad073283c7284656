import { randomUUID } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'
import { type LiveLogOptions, openRedis, type RedisServices } from '../../../connectors/redis/index.ts'
import type { LiveEvent } from '../../../src/core/live-log.ts'
import { liveLogContract } from '../../contracts/live-log.ts'
import { findService } from '../../services/services.ts'
import { openLive, removeKeys } from './support.ts'

const url = await findService('redis')

describe.skipIf(url === undefined)('with one server', () => {
  liveLogContract('Redis', async () => {
    const prefix = `test-${randomUUID()}`
    return { open: async () => openLive({ url, prefix }), remove: () => removeKeys({ url }, prefix) }
  })

  const opened: { redis: RedisServices; prefix: string }[] = []
  const open = (live: LiveLogOptions = {}, prefix = `test-${randomUUID()}`) => {
    const redis = openRedis({ url, prefix }, { live })
    opened.push({ redis, prefix })
    return redis.live
  }
  afterEach(async () => {
    for (const { redis, prefix } of opened.splice(0)) {
      await redis.close()
      await removeKeys({ url }, prefix)
    }
  })

  test('keeps the last events of each channel only; offsets go on', async () => {
    const log = open({ keepEvents: 100 })
    for (let call = 0; call < 30; call++) await log.append('c', 'lane', events(10), offsets(call * 10, 10))
    expect(await log.head('c')).toMatchObject({ first: 200, next: 300 })
    expect((await log.read('c', 0, 1000)).map(({ offset }) => offset)).toEqual(offsets(200, 100))
  })

  test('keeps events for their time only, and what lanes have appended for longer', async () => {
    const log = open({ keepMs: 200 })
    await log.append('c', 'lane', events(50), offsets(0, 50))
    await new Promise((resolve) => setTimeout(resolve, 150))
    await log.append('c', 'lane', events(3), offsets(50, 3))
    await new Promise((resolve) => setTimeout(resolve, 100))
    await log.append('c', 'lane', events(1), [53])
    const { epoch } = await log.head('c')
    expect(await log.head('c')).toMatchObject({ first: 50, next: 54 })
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(await log.read('c', 0, 10)).toEqual([])
    expect(await log.head('c')).toEqual({ epoch, first: 54, next: 54 })
    await log.append('c', 'lane', events(54), offsets(0, 54))
    expect(await log.head('c')).toEqual({ epoch, first: 54, next: 54 })
  })

  test('a large append is whole, and its replay is skipped', async () => {
    const log = open()
    const many = events(3_000).map((event) => ({ ...event, vector: new Float32Array(384).fill(0.5) }))
    const shared = many.map((_, index) => Math.floor(index / 700))
    await log.append('c', 'lane', many, shared)
    await log.append('c', 'lane', many, shared)
    expect(await log.head('c')).toMatchObject({ first: 0, next: 3_000 })
    expect((await log.read('c', 2_500, 1)).map(({ id }) => id)).toEqual(['2500'])
  })

  test('a follower that is far behind gets large events a few at a time', async () => {
    const log = open()
    const large = events(60).map((event) => ({ ...event, value: 'x'.repeat(200_000) }))
    await log.append('c', 'lane', large, offsets(0, 60))
    await log.append('c', 'lane', events(700), offsets(60, 700))
    const stop = new AbortController()
    const batches: number[][] = []
    for await (const batch of log.follow('c', 0, stop.signal)) {
      batches.push(batch.map(({ offset }) => offset))
      if (batch.at(-1)?.offset === 759) stop.abort()
    }
    expect(batches.flat()).toEqual(offsets(0, 760))
    expect(Math.max(...batches.slice(0, 10).map((batch) => batch.length))).toBeLessThanOrEqual(6)
    expect(Math.max(...batches.map((batch) => batch.length))).toBe(500)
  })

  test('several processes on one channel see one order', async () => {
    const prefix = `test-${randomUUID()}`
    const logs = [open({}, prefix), open({}, prefix), open({}, prefix)]
    const stop = new AbortController()
    const seen = logs.map(() => [] as string[])
    const following = logs.map(async (log, process) => {
      for await (const batch of log.follow('c', 0, stop.signal)) {
        seen[process]?.push(...batch.map(({ offset, id }) => `${offset} ${id}`))
      }
    })
    await Promise.all(
      logs.map(async (log, process) => {
        for (let n = 0; n < 100; n++) await log.append('c', `lane${process}`, events(2, `${process}-${n}-`), [n, n])
      }),
    )
    await expect.poll(() => seen.map((ids) => ids.length), { timeout: 10_000 }).toEqual([600, 600, 600])
    stop.abort()
    await Promise.all(following)
    expect(seen[1]).toEqual(seen[0])
    expect(seen[2]).toEqual(seen[0])
    expect(seen[0]?.map((text) => Number.parseInt(text, 10))).toEqual(offsets(0, 600))
  })

  test('a follower in another process has an event within milliseconds of its append', async () => {
    const prefix = `test-${randomUUID()}`
    const [log, other] = [open({}, prefix), open({}, prefix)]
    const stop = new AbortController()
    const received: number[] = []
    const following = (async () => {
      for await (const batch of other.follow('c', 0, stop.signal))
        for (const _ of batch) received.push(performance.now())
    })()
    await log.append('c', 'lane', events(1), [0])
    await expect.poll(() => received.length).toBe(1)
    const appended: number[] = [0]
    for (let n = 1; n <= 100; n++) {
      appended.push(performance.now())
      await log.append('c', 'lane', events(1), [n])
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
    await expect.poll(() => received.length).toBe(101)
    stop.abort()
    await following
    const delays = appended.slice(1).map((time, index) => (received[index + 1] ?? 0) - time)
    // The fastest tenth, for the machine may be busy.
    expect(delays.sort((a, b) => a - b)[10]).toBeLessThan(20)
  })

  test('a thousand followed channels share two connections', async () => {
    const log = open()
    const stop = new AbortController()
    const received = new Set<string>()
    const names = Array.from({ length: 1_000 }, (_, index) => `channel ${index}`)
    const following = names.map(async (name) => {
      for await (const batch of log.follow(name, 0, stop.signal)) received.add(`${name} ${batch.length}`)
    })
    await Promise.all(names.map((name) => log.append(name, 'lane', events(1), [0])))
    await expect.poll(() => received.size, { timeout: 10_000 }).toBe(1_000)
    stop.abort()
    await Promise.all(following)
    expect((await log.channels()).length).toBe(1_000)
  })

  test('data that are gone begin a new epoch, and end who followed the old one', async () => {
    const prefix = `test-${randomUUID()}`
    const log = open({}, prefix)
    await log.append('c', 'lane', events(3), offsets(0, 3))
    const before = await log.head('c')
    const stop = new AbortController()
    const seen: number[] = []
    const following = (async () => {
      for await (const batch of log.follow('c', 0, stop.signal)) seen.push(...batch.map(({ offset }) => offset))
    })()
    await expect.poll(() => seen.length).toBe(3)
    await removeKeys({ url }, prefix)
    await log.append('c', 'lane', events(5), offsets(0, 5))
    await following
    expect(seen).toEqual([0, 1, 2])
    // Until the follower's caller has asked for the head, the old epoch is what it knows.
    for await (const _ of log.follow('c', 3, stop.signal)) expect.fail('a follower of an epoch that is over')
    const after = await log.head('c')
    expect(after).toMatchObject({ first: 0, next: 5 })
    expect(after.epoch).not.toBe(before.epoch)
    expect(await log.channels()).toEqual(['c'])
  })
})

function events(count: number, prefix = ''): LiveEvent[] {
  return Array.from({ length: count }, (_, index) => ({
    id: `${prefix}${index}`,
    key: null,
    value: index,
    timestamp: 0,
  }))
}

function offsets(from: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => from + index)
}
