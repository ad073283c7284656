import { expect, test } from 'vitest'
import { Channel } from '../../src/live/channel.ts'
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
  group.members.add({ receive: ({ next }) => received.push(next), restart: () => restarts++ })
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
