import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { openRedis, type RedisSettings } from '../../../connectors/redis/index.ts'
import { Retryable } from '../../../src/core/errors.ts'
import type { LiveEvent, LiveLog } from '../../../src/core/live-log.ts'
import { member, watch } from '../../contracts/presence.ts'

/** Channels over the slots of a cluster. */
const channels = ['a', 'b', 'c', 'd', 'e', 'f']
const rounds = 120
/** How long before the crash an event may have been acknowledged and still not have reached the replica. */
const lagMs = 1_000

interface Appended {
  readonly id: string
  readonly at: number
}

/**
 * Appends to several channels, and follows them elsewhere, while `crash` takes a primary away. Nothing is there twice;
 * what was acknowledged and is lost was acknowledged just before the crash; and whoever followed a channel whose server
 * has changed was told. Who is present is present afterwards, with what was shown and who came and went meanwhile.
 */
export async function failover(settings: RedisSettings, crash: () => Promise<void>): Promise<void> {
  const writer = openRedis(settings)
  const reader = openRedis(settings)
  const stop = new AbortController()
  const epochs = new Map<string, string>()
  const told = new Set<string>()
  const acknowledged = new Map<string, Appended[]>(channels.map((channel) => [channel, []]))
  for (const channel of channels) epochs.set(channel, (await reader.live.head(channel)).epoch)
  const following = channels.map(async (channel) => {
    for await (const _ of reader.live.follow(channel, 0, stop.signal));
    if (!stop.signal.aborted) told.add(channel)
  })
  const present = channels.map((channel) => watch(reader.presence, channel))
  const show = (state: number) => channels.map((channel) => writer.presence.join(channel, member('m', 1, { state })))
  await Promise.all(show(-1))
  await Promise.all(channels.map((channel) => writer.presence.join(channel, member('gone', 2))))
  let crashedAt = 0
  for (let round = 0; round < rounds; round++) {
    if (round === rounds / 2) {
      crashedAt = Date.now()
      await crash()
      for (const channel of channels) writer.presence.leave(channel, 'gone').catch(() => undefined)
    }
    // What cannot be shown now is shown later.
    for (const shown of show(round)) shown.catch(() => undefined)
    await Promise.all(
      channels.map(async (channel) => {
        const id = `${channel}${round}`
        await appendUntilTaken(writer.live, channel, round, { id, key: null, value: round, timestamp: 0 })
        acknowledged.get(channel)?.push({ id, at: Date.now() })
      }),
    )
    await sleep(5)
  }
  // Each lane begins again below what it has appended, as after a crash of its own.
  for (const channel of channels) {
    const id = `${channel}${rounds - 1}`
    await writer.live.append(channel, 'lane', [{ id, key: null, value: 0, timestamp: 0 }], [rounds - 1])
  }
  let changed = 0
  for (const channel of channels) {
    const stored = (await writer.live.read(channel, 0, 10_000)).map(({ id }) => id)
    expect(new Set(stored).size).toBe(stored.length)
    const lost = acknowledged.get(channel)?.filter(({ id }) => !stored.includes(id)) ?? []
    for (const { at } of lost) {
      expect(at).toBeGreaterThan(crashedAt - lagMs)
      expect(at).toBeLessThanOrEqual(crashedAt + lagMs)
    }
    const { epoch } = await writer.live.head(channel)
    if (epoch === epochs.get(channel)) {
      expect(lost).toEqual([])
      continue
    }
    changed++
    await expect.poll(() => told.has(channel), { timeout: 10_000 }).toBe(true)
  }
  expect(changed).toBeGreaterThan(0)
  const expected = JSON.stringify([member('m', 1, { state: rounds - 1 })])
  for (const { last, stop: unwatch } of present) {
    await expect.poll(() => JSON.stringify(last()), { timeout: 30_000 }).toBe(expected)
    unwatch.abort()
  }
  stop.abort()
  await Promise.all(following)
  await writer.close()
  await reader.close()
}

async function appendUntilTaken(log: LiveLog, channel: string, offset: number, event: LiveEvent): Promise<void> {
  for (;;) {
    try {
      await log.append(channel, 'lane', [event], [offset])
      return
    } catch (error) {
      if (!(error instanceof Retryable)) throw error
      await sleep(50)
    }
  }
}
