import { describe, expect, test } from 'vitest'
import { Retryable } from '../../src/core/errors.ts'
import type { Presence } from '../../src/core/presence.ts'
import { ChannelPresence, type Outlet } from '../../src/live/channel-presence.ts'
import { jsonEncoding } from '../../src/live/encoding.ts'
import { LocalPresence } from '../../src/live/local-presence.ts'
import { member } from '../contracts/presence.ts'
import { MemberList } from './member-list.ts'

/** A session's connection that takes frames, or not. */
class FakeOutlet implements Outlet {
  readonly encoding = jsonEncoding
  readonly list = new MemberList()
  readonly frames: Uint8Array[] = []
  ready = true
  woken = 0

  send(frame: Uint8Array): void {
    this.frames.push(frame)
    this.list.take(JSON.parse(new TextDecoder().decode(frame)))
  }

  wake(): void {
    this.woken++
  }
}

/** Counts who watches, and can fail. */
class CountedPresence extends LocalPresence {
  watching = 0
  watched = 0
  broken = 0

  override async *watch(channel: string, signal: AbortSignal): ReturnType<LocalPresence['watch']> {
    this.watched++
    if (this.broken-- > 0) throw new Retryable({ code: 'redis_unavailable', message: 'Redis is away.' })
    this.watching++
    try {
      yield* super.watch(channel, signal)
    } finally {
      this.watching--
    }
  }
}

const warnings: string[] = []
const logger = { warn: (message: string) => warnings.push(message), error: () => undefined }
const presenceOf = (presence: Presence) => new ChannelPresence(async () => presence, logger)

describe('presence of a process', () => {
  test('a channel is watched once for all, its frames are shared, and the watch ends with the last', async () => {
    const store = new CountedPresence()
    const channels = presenceOf(store)
    const outlets = Array.from({ length: 20 }, () => new FakeOutlet())
    const watching = outlets.map((outlet, n) =>
      channels.watch('c', 's1', n % 2 === 0 ? undefined : [{ tenant: 'a' }], outlet),
    )
    await store.join('c', member('m', 1))
    await expect.poll(() => outlets[0]?.list.users).toBe('user of m')
    expect(store).toMatchObject({ watched: 1, watching: 1 })
    expect(outlets[1]?.list.users).toBe('')
    for (const [n, { frames }] of outlets.entries()) expect(frames.at(-1)).toBe(outlets[n % 2]?.frames.at(-1))
    for (const { leave } of watching.slice(1)) leave()
    expect(store.watching).toBe(1)
    watching[0]?.leave()
    await expect.poll(() => store.watching).toBe(0)
    const late = new FakeOutlet()
    const again = channels.watch('c', 's1', undefined, late)
    await expect.poll(() => late.list.users).toBe('user of m')
    expect(store.watched).toBe(2)
    again.leave()
  })

  test('a watcher that comes later has the list at once; one that is not ready has it when it is asked', async () => {
    const store = new LocalPresence()
    await store.join('c', member('m', 1))
    const channels = presenceOf(store)
    const first = new FakeOutlet()
    channels.watch('c', 's1', undefined, first)
    await expect.poll(() => first.list.users).toBe('user of m')
    const second = new FakeOutlet()
    channels.watch('c', 's1', undefined, second)
    expect(second.list.users).toBe('user of m')
    const slow = new FakeOutlet()
    slow.ready = false
    const { flow } = channels.watch('c', 's1', undefined, slow)
    expect(slow).toMatchObject({ frames: [], woken: 1 })
    expect(flow).toMatchObject({ wants: true, settled: undefined, queued: { events: 0, bytes: 0 } })
    expect(flow.sendSome()).toBe(false)
    expect(slow.list.users).toBe('user of m')
    expect(flow.wants).toBe(false)
    flow.sendSome()
    expect(slow.frames).toHaveLength(1)
    channels.close()
  })

  test('a watch that fails is begun again', { timeout: 10_000 }, async () => {
    const store = new CountedPresence()
    store.broken = 1
    await store.join('c', member('m', 1))
    const channels = presenceOf(store)
    const outlet = new FakeOutlet()
    const { leave } = channels.watch('c', 's1', undefined, outlet)
    await expect.poll(() => outlet.list.users, { timeout: 5_000 }).toBe('user of m')
    expect(warnings).toHaveLength(1)
    leave()
  })

  test('who has left is told nothing more', async () => {
    const store = new LocalPresence()
    const channels = presenceOf(store)
    const [stays, goes] = [new FakeOutlet(), new FakeOutlet()]
    channels.watch('c', 's1', undefined, stays)
    const { leave } = channels.watch('c', 's1', undefined, goes)
    await expect.poll(() => goes.list.messages).toBe(1)
    leave()
    await store.join('c', member('m', 1))
    await expect.poll(() => stays.list.users).toBe('user of m')
    expect(goes.list.messages).toBe(1)
    channels.close()
  })
})
