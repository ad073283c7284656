import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { Retryable } from '../../src/core/errors.ts'
import type { Presence } from '../../src/core/presence.ts'
import { LocalPresence } from '../../src/live/local-presence.ts'
import { DirectClient, principal, scene } from './direct-client.ts'
import { MemoryLiveLog } from './memory-live-log.ts'
import { Visitor } from './visitor.ts'

describe('presence on a channel', () => {
  test('everyone sees who is there, who comes, changes and goes', async () => {
    await using world = scene()
    const ann = new Visitor(world, { id: 'ann' }, { state: { mood: 'good' } })
    await ann.sees('ann')
    await sleep(2)
    const bob = new Visitor(world, { id: 'bob' })
    await bob.sees('ann bob')
    await ann.sees('ann bob')
    await bob.states({ mood: 'good' }, null)
    expect(await bob.client.ask({ id: 2, type: 'presence', subscription: 's1', state: 'typing' })).toEqual({
      id: 2,
      type: 'present',
    })
    await ann.states({ mood: 'good' }, 'typing')
    expect(ann.list.members.map(({ id }) => id)).toEqual(bob.list.members.map(({ id }) => id))
    await bob.client.ask({ id: 3, type: 'unsubscribe', subscription: 's1' })
    await ann.sees('ann')
    ann.leave()
    const late = new Visitor(world, { id: 'cat' })
    await late.sees('cat')
  })

  test('the answer to the subscription comes first, then everyone, then what changes', async () => {
    await using world = scene()
    const client = new DirectClient(world.live, principal({}))
    await client.ask({ id: 1, type: 'subscribe', channel: 'c', presence: {} })
    const first = await client.ofType('presence')
    expect(first).toMatchObject({ subscription: 's1', members: expect.any(Array) })
    const second = new DirectClient(world.live, principal({ id: 'bob' }))
    second.session.receive(JSON.stringify({ id: 1, type: 'subscribe', channel: 'c', presence: {} }))
    await second.ofType('presence')
    expect(second.received.filter(({ type }) => type === 'subscribed')).toHaveLength(1)
    const next = await client.next(({ joined }) => JSON.stringify(joined ?? '').includes('bob'))
    expect(next.members).toBeUndefined()
  })

  test('who only looks is not seen, and has no state to show', async () => {
    await using world = scene()
    const ann = new Visitor(world, { id: 'ann' })
    const looker = new Visitor(world, { id: 'looker' }, { join: false })
    await looker.sees('ann')
    await ann.sees('ann')
    expect(await looker.client.ask({ id: 2, type: 'presence', subscription: 's1', state: 1 })).toMatchObject({
      type: 'error',
      code: 'not_present',
    })
    const plain = new DirectClient(world.live, principal({}))
    await plain.ask({ id: 1, type: 'subscribe', channel: 'c' })
    expect(await plain.ask({ id: 2, type: 'presence', subscription: 's1', state: 1 })).toMatchObject({
      code: 'not_present',
    })
    expect(await plain.ask({ id: 3, type: 'presence', subscription: 's9', state: 1 })).toMatchObject({
      code: 'subscription_not_found',
    })
    expect(plain.received.some(({ type }) => type === 'presence')).toBe(false)
  })

  test('a state that is too large is refused by name, when one subscribes and later', async () => {
    await using world = scene()
    const client = new DirectClient(world.live, principal({}))
    const large = 'ü'.repeat(2_048)
    expect(await client.ask({ id: 1, type: 'subscribe', channel: 'c', presence: { state: large } })).toMatchObject({
      type: 'error',
      code: 'state_too_large',
      retry: false,
    })
    expect(await (await world.live.presence()).subscriptions('c')).toBe(0)
    await client.ask({ id: 2, type: 'subscribe', channel: 'c', presence: { state: large.slice(1) } })
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
    client.session.receive(`{"id":3,"type":"presence","subscription":"s1","state":${deep}}`)
    expect(await client.next(({ id }) => id === 3)).toMatchObject({ code: 'state_too_large' })
    expect(await client.ask({ id: 4, type: 'presence', subscription: 's1' })).toMatchObject({ code: 'bad_message' })
  })

  test('a tenant sees its own, and who sees everything sees all', async () => {
    await using world = scene()
    const [one, two] = [[{ tenant: 'one' }], [{ tenant: 'two' }]]
    const ann = new Visitor(world, { id: 'ann', rows: one })
    await ann.sees('ann')
    const bob = new Visitor(world, { id: 'bob', rows: two })
    await bob.sees('bob')
    await sleep(2)
    const cat = new Visitor(world, { id: 'cat', rows: one })
    const admin = new Visitor(world, { id: 'admin' }, { join: false })
    await cat.sees('ann cat')
    await ann.sees('ann cat')
    await admin.sees('ann bob cat')
    cat.leave()
    await ann.sees('ann')
    expect(bob.list.users).toBe('bob')
    expect(bob.list.messages).toBeLessThanOrEqual(2)
  })

  test('a thousand who come at once are a few messages', async () => {
    await using world = scene()
    const watcher = new Visitor(world, { id: 'watcher' }, { join: false })
    await watcher.sees('')
    const crowd = Array.from({ length: 300 }, (_, n) => new Visitor(world, { id: `v${n}` }))
    await expect.poll(() => watcher.list.members.length, { timeout: 10_000 }).toBe(300)
    expect(watcher.list.messages).toBeLessThan(30)
    for (const { client } of crowd) client.session.disconnected()
    await watcher.sees('')
    expect(watcher.list.messages).toBeLessThan(60)
  })

  test('a slow client gets the whole list when it takes something again, and nothing piles up', async () => {
    await using world = scene()
    const slow = new Visitor(world, { id: 'slow' }, { join: false })
    await expect.poll(() => slow.list.messages).toBe(1)
    slow.client.buffered = 10 ** 9
    const before = slow.list.messages
    const joined: Visitor[] = []
    for (const id of ['ann', 'bob', 'cat']) {
      joined.push(new Visitor(world, { id }))
      await joined.at(-1)?.sees(['ann', 'bob', 'cat'].slice(0, joined.length).join(' '))
      await sleep(150)
    }
    expect(slow.list.messages).toBe(before)
    slow.client.buffered = 0
    // Whatever is sent and taken next tells the sender that there is room.
    await world.log.append('c', 'lane', [{ id: 'e', key: null, value: 1, timestamp: 1 }], [1])
    await slow.sees('ann bob cat')
    expect(slow.list.messages).toBe(before + 1)
  })

  test('presence outlives the epoch of the channel', async () => {
    const log = new MemoryLiveLog()
    const shared = new LocalPresence()
    await using world = scene({}, log, async () => shared)
    const ann = new Visitor(world, { id: 'ann' })
    const bob = new Visitor(world, { id: 'bob' }, { state: 1 })
    await ann.sees(bob.list.users)
    await expect.poll(() => ann.list.members.length).toBe(2)
    log.restart('c')
    expect(await ann.client.whenClosed()).toMatchObject({ code: 4002 })
    expect(await bob.client.whenClosed()).toMatchObject({ code: 4002 })
    const again = new Visitor(world, { id: 'ann' })
    await again.sees('ann')
    const other = new Visitor(world, { id: 'bob' })
    await other.sees('ann bob')
    await again.sees('ann bob')
  })

  test('who finds no room is told, and can still look', async () => {
    await using world = scene({}, new MemoryLiveLog(), async () => tiny)
    const tiny = new LocalPresence({ members: 1 })
    const ann = new Visitor(world, { id: 'ann' })
    await ann.sees('ann')
    const bob = new Visitor(world, { id: 'bob' })
    expect(await bob.client.ofType('error')).toMatchObject({ id: null, code: 'presence_full', subscription: 's1' })
    await bob.sees('ann')
    expect(await bob.client.ask({ id: 2, type: 'presence', subscription: 's1', state: 1 })).toMatchObject({
      code: 'presence_full',
    })
    ann.leave()
    await bob.sees('')
    expect(await bob.client.ask({ id: 3, type: 'presence', subscription: 's1', state: 1 })).toMatchObject({
      type: 'present',
    })
    await bob.sees('bob')
  })

  test('while presence is away events flow, and a state can be shown later', async () => {
    const away = async (): Promise<never> => {
      throw new Retryable({ code: 'redis_unavailable', message: 'Redis is away.' })
    }
    const broken: Presence = {
      join: away,
      leave: away,
      members: away,
      size: away,
      watch: () => ({ [Symbol.asyncIterator]: () => ({ next: away }) }),
      count: () => undefined,
      subscriptions: away,
      close: async () => undefined,
    }
    await using world = scene({}, new MemoryLiveLog(), async () => broken)
    const ann = new Visitor(world, { id: 'ann' })
    await ann.subscribed
    await world.log.append('c', 'lane', [{ id: 'e', key: null, value: 1, timestamp: 1 }], [1])
    await ann.client.ofType('events')
    expect(await ann.client.ask({ id: 2, type: 'presence', subscription: 's1', state: 1 })).toMatchObject({
      code: 'redis_unavailable',
      retry: true,
    })
    expect(ann.client.received.filter(({ type }) => type === 'error')).toEqual([])
    await ann.client.ask({ id: 3, type: 'unsubscribe', subscription: 's1' })
  })

  test('subscriptions are counted, with presence or without', async () => {
    await using world = scene()
    const presence = await world.live.presence()
    const [one, two] = [new DirectClient(world.live, principal({})), new DirectClient(world.live, principal({}))]
    await one.ask({ id: 1, type: 'subscribe', channel: 'c' })
    await two.ask({ id: 1, type: 'subscribe', channel: 'c', presence: {} })
    await two.ask({ id: 2, type: 'subscribe', channel: 'c' })
    expect(await presence.subscriptions('c')).toBe(3)
    await two.ask({ id: 3, type: 'unsubscribe', subscription: 's2' })
    expect(await presence.subscriptions('c')).toBe(2)
    two.session.disconnected()
    one.session.disconnected()
    await expect.poll(() => presence.subscriptions('c')).toBe(0)
    await expect.poll(() => presence.size('c')).toBe(0)
  })
})
