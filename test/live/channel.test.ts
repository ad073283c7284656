import { afterEach, describe, expect, test, vi } from 'vitest'
import { Channel } from '../../src/live/channel.ts'
import { jsonEncoding } from '../../src/live/encoding.ts'
import type { GroupBatch } from '../../src/live/group-batch.ts'
import { MemoryLiveLog } from './memory-live-log.ts'

const logger = { warn: () => undefined, error: () => undefined }
const event = (id: string) => ({ id, key: null, value: id, timestamp: 0 })

/** Fails to be followed as often as it is told to. */
class FailingLiveLog extends MemoryLiveLog {
  failures = 0

  override async *follow(channel: string, from: number, signal: AbortSignal) {
    if (this.failures-- > 0) throw new Error('not readable')
    yield* super.follow(channel, from, signal)
  }
}

test('a channel whose epoch changes while it cannot be read is not read on from an offset of the old one', async () => {
  const log = new FailingLiveLog()
  await log.append('c', 'lane', ['a', 'b', 'c'].map(event))
  const channel = new Channel('c', await log.head('c'), log, logger)
  const received: number[] = []
  let restarts = 0
  const group = channel.join('', () => ({ filter: undefined, similar: undefined }))
  group.members.add({
    receive: ({ next }) => received.push(next),
    restart: () => restarts++,
    tooCostly: () => undefined,
    failed: () => undefined,
  })
  log.failures = 2
  const stop = new AbortController()
  const running = channel.run(stop.signal, () => undefined)
  log.restart('c')
  await log.append('c', 'lane', ['d', 'e', 'f', 'g'].map(event))
  await expect.poll(() => restarts + received.length, { timeout: 5_000 }).toBeGreaterThan(0)
  expect({ restarts, received }).toEqual({ restarts: 1, received: [] })
  stop.abort()
  await running
})

describe('with very many standing queries', () => {
  const vectorOf = (index: number) => {
    const vector = new Float32Array(64)
    vector[index % 64] = 1
    vector[(index * 7 + 3) % 64] = 0.5
    return vector
  }
  const unitOf = (index: number) => vectorOf(index).map((value) => value / Math.sqrt(1.25))

  /** Follows a channel with so many queries that its events are compared in parts. `during`: while the first are. */
  async function follow(count: number, during: (channel: Channel) => void) {
    const log = new MemoryLiveLog()
    const channel = new Channel('c', await log.head('c'), log, logger)
    for (let index = 0; index < 6_000; index++) {
      channel.join(`${index}`, () => ({
        filter: undefined,
        similar: { query: channel.queries.add(`${index}`, vectorOf(index).fill(index + 1, 0, 1)), minScore: 2 },
      }))
    }
    const compare = channel.queries.compare.bind(channel.queries)
    vi.spyOn(channel.queries, 'compare').mockImplementationOnce((vectors) => {
      const comparison = compare(vectors)
      during(channel)
      return comparison
    })
    const stop = new AbortController()
    const running = channel.run(stop.signal, () => undefined)
    const events = Array.from({ length: count }, (_, index) => ({ ...event(`${index}`), vector: unitOf(index) }))
    await log.append('c', 'lane', events)
    await expect.poll(() => channel.next, { timeout: 20_000 }).toBe(count)
    stop.abort()
    await running
  }

  test('its events come in parts, in order, each once', async () => {
    const received: GroupBatch[] = []
    let most = 0
    await follow(1_000, (channel) => {
      const query = channel.queries.add('own', vectorOf(5))
      const group = channel.join('own', () => ({ filter: undefined, similar: { query, minScore: 0.99 } }))
      group.members.add({
        receive: (batch) => received.push(batch),
        restart: () => undefined,
        tooCostly: () => undefined,
        failed: () => undefined,
      })
      most = channel.queries.vectorsAtATime
    })
    expect(received.length).toBeGreaterThan(1)
    expect(received.every(({ from, next }) => next - from <= most)).toBe(true)
    expect(received.slice(1).every(({ from }, index) => from === received[index]?.next)).toBe(true)
    const near = Array.from({ length: 1_000 }, (_, index) => index).filter((index) => index % 64 === 5)
    expect(received.flatMap(({ matched }) => matched.map(({ offset }) => offset))).toEqual(near)
  })

  test('a group that joins while events are compared is handed them as well', async () => {
    const received: GroupBatch[] = []
    await follow(300, (channel) => {
      expect(channel.next).toBe(0)
      const query = channel.queries.add('own', vectorOf(5))
      const group = channel.join('own', () => ({ filter: undefined, similar: { query, minScore: 0.99 } }))
      group.members.add({
        receive: (batch) => received.push(batch),
        restart: () => undefined,
        tooCostly: () => undefined,
        failed: () => undefined,
      })
    })
    expect(received.flatMap(({ matched }) => matched.map(({ offset }) => offset))).toEqual([5, 69, 133, 197, 261])
  })
})

describe('a batch for very many members', () => {
  const members = 200

  /** A clock by which every look takes longer than a slice, so that there is a pause whenever one may be. */
  function slow(): void {
    let now = performance.now()
    vi.spyOn(performance, 'now').mockImplementation(() => {
      now += 100
      return now
    })
  }
  afterEach(() => vi.restoreAllMocks())

  async function opened() {
    const log = new MemoryLiveLog()
    const channel = new Channel('c', await log.head('c'), log, logger)
    const group = channel.join('', () => ({ filter: undefined, similar: undefined }))
    const stop = new AbortController()
    const running = channel.run(stop.signal, () => undefined)
    const close = async () => {
      stop.abort()
      await running
    }
    return { log, channel, group, close }
  }

  const member = (receive: (batch: GroupBatch) => void, failed: (error: unknown) => void = () => undefined) => {
    return { receive, failed, restart: () => undefined, tooCostly: () => undefined }
  }

  test('others come to their turn while it is handed out, and what comes meanwhile is one batch', async () => {
    const { log, group, close } = await opened()
    const received: GroupBatch[][] = Array.from({ length: members }, () => [])
    let between: Promise<number | undefined> | undefined
    const meanwhile = async () => {
      await new Promise((resolve) => setImmediate(resolve))
      await log.append('c', 'lane', [event('b')])
      await log.append('c', 'lane', [event('c')])
      return received.at(-1)?.length
    }
    for (const batches of received) {
      group.members.add(
        member((batch) => {
          batches.push(batch)
          between ??= meanwhile()
        }),
      )
    }
    slow()
    await log.append('c', 'lane', [event('a')])
    await expect.poll(() => received.at(-1)?.length, { interval: 0 }).toBe(2)
    expect(await between).toBe(0)
    for (const batches of received) expect(batches.map(({ matched }) => matched.length)).toEqual([1, 2])
    const frames = received.map(([, batch]) => batch?.frame(jsonEncoding, 's1', undefined))
    expect(new Set(frames).size).toBe(1)
    await close()
  })

  test('who leaves in between is handed nothing', async () => {
    const { channel, log, group, close } = await opened()
    const received: number[] = []
    for (let index = 0; index < members; index++) {
      group.members.add(
        member(() => {
          received.push(index)
          if (index === 0) setImmediate(() => group.members.clear())
        }),
      )
    }
    slow()
    await log.append('c', 'lane', [event('a')])
    await log.append('c', 'lane', [event('b')])
    await expect.poll(() => channel.next, { interval: 0 }).toBe(2)
    expect(received.length).toBeGreaterThan(0)
    expect(received.length).toBeLessThan(members)
    await close()
  })

  test('one that fails is told, and the others get theirs', async () => {
    const { log, group, close } = await opened()
    const failures: unknown[] = []
    const received: number[] = []
    const throws = () => {
      throw new Error('cannot')
    }
    group.members.add(member(throws, (error) => failures.push(error)))
    group.members.add(member(({ next }) => received.push(next)))
    await log.append('c', 'lane', [event('a')])
    await expect.poll(() => received).toEqual([1])
    expect(failures).toHaveLength(1)
    await close()
  })

  test('events that are too large for one frame come in several, without a hole', async () => {
    const { log, group, close } = await opened()
    const received: GroupBatch[] = []
    group.members.add(member((batch) => received.push(batch)))
    const large = { ...event('a'), value: 'x'.repeat(100_000) }
    await log.append('c', 'lane', [large, large, large, large, large])
    await expect.poll(() => received.at(-1)?.next).toBe(5)
    expect(received.map(({ from, next }) => [from, next])).toEqual([
      [0, 2],
      [2, 4],
      [4, 5],
    ])
    await close()
  })
})
