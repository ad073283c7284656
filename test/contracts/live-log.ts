import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { LiveEvent, LiveLog, StoredLiveEvent } from '../../src/core/live-log.ts'

export interface LiveLogStorage {
  /** Opens the log on the same storage each time. */
  open(): Promise<LiveLog>
  remove(): Promise<void>
}

export interface LiveLogContractOptions {
  /** How many random histories to compare with the model. */
  readonly runs?: number
}

const patienceMs = 20_000

/** What every live log must hold to. `prepare` gives an empty one each time. */
export function liveLogContract(
  name: string,
  prepare: () => Promise<LiveLogStorage>,
  { runs = 30 }: LiveLogContractOptions = {},
): void {
  describe(`${name} is a live log`, () => {
    let storage: LiveLogStorage
    let log: LiveLog

    beforeEach(async () => {
      storage = await prepare()
      log = await storage.open()
    })
    afterEach(async () => {
      await log.close()
      await storage.remove()
    })

    const event = (id: string, changes: Partial<LiveEvent> = {}): LiveEvent => ({
      id,
      key: null,
      value: { id },
      timestamp: 1_700_000_000_000,
      ...changes,
    })
    const append = (channel: string, lane: string, ...entries: (readonly [id: string, offset: number])[]) =>
      log.append(
        channel,
        lane,
        entries.map(([id]) => event(id)),
        entries.map(([, offset]) => offset),
      )
    const ids = async (channel: string, from = 0, limit = 1000) =>
      (await log.read(channel, from, limit)).map(({ id }) => id)
    async function reopen(): Promise<void> {
      await log.close()
      log = await storage.open()
    }

    test('no more is read after so many bytes, and one event in any case', async () => {
      const large = ['a', 'b', 'c'].map((id) => event(id, { value: 'x'.repeat(1_000) }))
      await log.append('c', 'lane', large, [0, 1, 2])
      const read = async (bytes: number) => (await log.read('c', 0, 10, bytes)).length
      expect([await read(1), await read(1_500), await read(1_000_000)]).toEqual([1, 2, 3])
    })

    test('events come back whole, vectors bit by bit, also after a restart', async () => {
      const vector = Float32Array.of(0.1, -0, 3e38, 1e-45, Number.NaN)
      const events = [
        event('a', { key: 'k', value: { deep: [1, 'ü', null] }, vector }),
        event('b', { value: null }),
        event('c', { value: 'odd', timestamp: 5.5, vector: new Float32Array(0).subarray(0) }),
        event('d', { version: 0 }),
        event('d', { version: 2 ** 53 - 1, vector: Float32Array.of(1) }),
      ]
      await log.append('c', 'lane', events, [1, 2, 3, 4, 5])
      await reopen()
      const stored = await log.read('c', 0, 10)
      expect(stored.map(({ vector: _, appended: __, ...rest }) => rest)).toEqual(
        events.map(({ vector: _, ...rest }, offset) => ({ ...rest, offset })),
      )
      expect(stored[0]?.vector).toBeInstanceOf(Float32Array)
      expect(bits(stored[0]?.vector)).toEqual(bits(vector))
      expect(stored[1]?.vector).toBeUndefined()
    })

    test('offsets ascend by one; a read begins anywhere and keeps to its limit', async () => {
      await append('c', 'lane', ['a', 10], ['b', 10], ['c', 25])
      await append('c', 'other', ['d', 3])
      expect((await log.read('c', 0, 10)).map(({ id, offset }) => [id, offset])).toEqual([
        ['a', 0],
        ['b', 1],
        ['c', 2],
        ['d', 3],
      ])
      expect(await ids('c', 1, 2)).toEqual(['b', 'c'])
      expect(await ids('c', 4)).toEqual([])
      expect(await ids('c', 400)).toEqual([])
      expect(await ids('unknown')).toEqual([])
    })

    test('appended is the time of the append, and ascends with the offsets', async () => {
      const before = Date.now()
      const lanes = ['x', 'y', 'z']
      for (let n = 0; n < 20; n++) await Promise.all(lanes.map((lane) => append('c', lane, [`${lane}${n}`, n])))
      const times = (await log.read('c', 0, 100)).map(({ appended }) => appended)
      expect(times).toHaveLength(60)
      expect(times).toEqual([...times].sort((one, other) => one - other))
      // The store's clock may be another, but not by more than a moment.
      expect(Math.abs((times[0] ?? 0) - before)).toBeLessThan(5_000)
      expect((times.at(-1) ?? 0) - (times[0] ?? 0)).toBeLessThan(patienceMs)
    })

    test('a channel keeps its epoch over restarts, and has one before its first event', async () => {
      const before = await log.head('c')
      expect(before).toMatchObject({ first: 0, next: 0 })
      expect(before.epoch).not.toBe('')
      await append('c', 'lane', ['a', 1])
      await reopen()
      expect(await log.head('c')).toEqual({ epoch: before.epoch, first: 0, next: 1 })
      const elsewhere = await prepare()
      const other = await elsewhere.open()
      expect((await other.head('c')).epoch).not.toBe(before.epoch)
      await other.close()
      await elsewhere.remove()
    })

    test('what a lane has appended before is skipped, per channel and lane, also after a restart', async () => {
      await append('c', 'one', ['a', 5], ['b', 6])
      await append('c', 'one', ['b', 6], ['c', 7])
      await append('c', 'two', ['d', 5])
      await append('other', 'one', ['e', 5])
      await reopen()
      await append('c', 'one', ['a', 5], ['b', 6], ['c', 7])
      expect(await ids('c')).toEqual(['a', 'b', 'c', 'd'])
      expect(await ids('other')).toEqual(['e'])
      expect([...(await log.channels())].sort()).toEqual(['c', 'other'])
    })

    test('a follower gets what is there and what comes, in order and once, until its signal', async () => {
      await append('c', 'lane', ['a', 1], ['b', 2])
      const stop = new AbortController()
      const followed = follow(log, 'c', 1, stop)
      for (let n = 3; n < 50; n++) await append('c', 'lane', [`n${n}`, n])
      await append('unrelated', 'lane', ['x', 1])
      await until(() => followed.events.length === 48)
      stop.abort()
      await followed.ended
      expect(followed.events.map(({ offset }) => offset)).toEqual(Array.from({ length: 48 }, (_, index) => index + 1))
      expect(followed.events.slice(0, 2).map(({ id }) => id)).toEqual(['b', 'n3'])
    })

    test('a follower of a channel without events waits for its first', async () => {
      const stop = new AbortController()
      const followed = follow(log, 'c', 0, stop)
      await append('c', 'lane', ['a', 1])
      await until(() => followed.events.length === 1)
      stop.abort()
      await followed.ended
    })

    test('closing the log ends its followers', async () => {
      const followed = follow(log, 'c', 0, new AbortController())
      await reopen()
      await followed.ended
    })

    test('any history of appends, replays and restarts is that of the model', async () => {
      const history = fc.array(
        fc.record({
          channel: fc.constantFrom('a', 'b'),
          lane: fc.constantFrom('x', 'y'),
          /** How far behind its newest offset the lane begins again, and the gaps between the offsets that follow. */
          back: fc.nat(6),
          gaps: fc.array(fc.nat(3), { minLength: 1, maxLength: 6 }),
          reopen: fc.boolean(),
        }),
        { maxLength: 15 },
      )
      let run = 0
      await fc.assert(
        fc.asyncProperty(history, async (steps) => {
          const prefix = `${run++}-`
          const model = new Map<string, string[]>()
          const newest = new Map<string, number>()
          for (const { channel, lane, back, gaps, reopen: again } of steps) {
            const at = `${channel}/${lane}`
            const last = newest.get(at) ?? -1
            let offset = Math.max(0, last + 1 - back)
            const offsets = gaps.map((gap) => (offset += gap))
            // The same source offset gives the same events.
            const events = offsets.map((each, index) => event(`${lane}${each}-${index}`))
            await log.append(prefix + channel, lane, events, offsets)
            const fresh = events.filter((_, index) => (offsets[index] ?? 0) > last)
            model.set(channel, [...(model.get(channel) ?? []), ...fresh.map(({ id }) => id)])
            newest.set(at, Math.max(last, ...offsets))
            if (again) await reopen()
          }
          for (const channel of ['a', 'b']) {
            const stored = await log.read(prefix + channel, 0, 1000)
            expect(stored.map(({ id }) => id)).toEqual(model.get(channel) ?? [])
            expect(stored.map(({ offset }) => offset)).toEqual(stored.map((_, index) => index))
            expect((await log.head(prefix + channel)).next).toBe(stored.length)
          }
        }),
        { numRuns: runs },
      )
    })
  })
}

function bits(vector: Float32Array | undefined): number[] {
  return vector ? [...new Uint32Array(vector.buffer, vector.byteOffset, vector.length)] : []
}

interface Followed {
  readonly events: StoredLiveEvent[]
  readonly ended: Promise<void>
}

function follow(log: LiveLog, channel: string, from: number, stop: AbortController): Followed {
  const events: StoredLiveEvent[] = []
  const collect = async () => {
    for await (const batch of log.follow(channel, from, stop.signal)) events.push(...batch)
  }
  return { events, ended: collect() }
}

async function until(holds: () => boolean): Promise<void> {
  for (const end = Date.now() + patienceMs; !holds(); ) {
    if (Date.now() > end) throw new Error('waited in vain')
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}
