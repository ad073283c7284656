import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { StoredLiveEvent } from '../../src/core/live-log.ts'
import { Channel } from '../../src/live/channel.ts'
import { begin } from '../../src/live/history.ts'
import { closeCodes } from '../../src/live/protocol.ts'
import { DirectClient, scene } from './direct-client.ts'
import { MemoryLiveLog } from './memory-live-log.ts'

/** Holds events from `first` on that were appended at given times. */
class TimedLiveLog extends MemoryLiveLog {
  reads = 0
  readonly #first: number
  readonly #times: readonly number[]
  constructor(first: number, times: readonly number[]) {
    super()
    this.#first = first
    this.#times = times
  }
  override async head() {
    return { epoch: 'e', first: this.#first, next: this.#first + this.#times.length }
  }
  override async read(_channel: string, from: number, limit: number): Promise<StoredLiveEvent[]> {
    this.reads++
    return this.#times
      .map((appended, index) => {
        const offset = this.#first + index
        return { offset, appended, id: `${offset}`, key: null, value: 1, timestamp: 0 }
      })
      .filter(({ offset }) => offset >= from)
      .slice(0, limit)
  }
}
const logger = { warn: () => undefined, error: () => undefined }
const everything = { filter: undefined, similar: undefined }

test('a channel whose offsets have started anew is not begun at, and whoever subscribes is in the new epoch', async () => {
  const log = new MemoryLiveLog()
  await using world = scene({}, log)
  const [first, second] = [new DirectClient(world.live), new DirectClient(world.live)]
  expect(await first.ask({ id: 1, type: 'subscribe', channel: 'c' })).toMatchObject({ epoch: 'epoch-1' })
  log.restart('c')
  const { epoch } = await log.head('c')
  const since = { epoch, offset: -1 }
  expect(await second.ask({ id: 1, type: 'subscribe', channel: 'c', since })).toMatchObject({ epoch, recovered: true })
  await log.append('c', 'lane', [{ id: '0', key: null, value: 0, timestamp: 1 }])
  expect(await second.ofType('events')).toMatchObject({ events: [{ id: '0' }] })
  expect(await first.whenClosed()).toMatchObject({ code: closeCodes.epochChanged })
  expect(second.closed).toBeUndefined()
})

test('the first event appended at or after a time, in a few reads', async () => {
  const times = fc.array(fc.nat(50), { maxLength: 60 }).map((list) => list.sort((one, other) => one - other))
  await fc.assert(
    fc.asyncProperty(times, fc.nat(5), fc.nat(52), async (appended, first, time) => {
      const log = new TimedLiveLog(first, appended)
      const channel = new Channel('c', await log.head(), log, logger)
      const { from, recovered } = await begin(channel, everything, { time })
      const index = appended.findIndex((at) => at >= time)
      expect(from).toBe(first + (index < 0 ? appended.length : index))
      expect(recovered).toBe(first === 0 || (appended[0] ?? Number.POSITIVE_INFINITY) < time)
      expect(log.reads).toBeLessThanOrEqual(7)
    }),
  )
})

test('so many milliseconds ago is by the clock of the server', async () => {
  const now = Date.now()
  const log = new TimedLiveLog(5, [now - 90_000, now - 50_000, now - 10_000])
  const channel = new Channel('c', await log.head(), log, logger)
  expect(await begin(channel, everything, { ago: 60_000 })).toEqual({ from: 6, recovered: true })
  expect(await begin(channel, everything, { ago: 100_000 })).toEqual({ from: 5, recovered: false })
})
