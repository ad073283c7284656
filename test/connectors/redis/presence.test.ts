import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { afterEach, describe, expect, test } from 'vitest'
import type { PresenceOptions } from '../../../connectors/redis/index.ts'
import { Retryable } from '../../../src/core/errors.ts'
import type { Presence } from '../../../src/core/presence.ts'
import { member, presenceContract, until, watch } from '../../contracts/presence.ts'
import { redisMissing, startRedis } from '../../services/redis.ts'
import { findService } from '../../services/services.ts'
import { eventually } from './servers.ts'
import { openPresence, removeKeys } from './support.ts'

const url = await findService('redis')
const missing = await redisMissing()
const program = fileURLToPath(new URL('./presence-process.mjs', import.meta.url))

const opened: Presence[] = []
const prefixes = new Set<string>()
const children: ChildProcess[] = []

function open(settings: { url?: string | undefined }, options: PresenceOptions = {}, prefix = `test-${randomUUID()}`) {
  const presence = openPresence({ ...settings, prefix }, options)
  opened.push(presence)
  prefixes.add(prefix)
  return presence
}

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  await Promise.all(opened.splice(0).map((presence) => presence.close()))
  if (url !== undefined) for (const prefix of prefixes) await removeKeys({ url }, prefix)
  prefixes.clear()
})

describe.skipIf(url === undefined)('with one server', () => {
  presenceContract(
    'Redis',
    async () => {
      const prefix = `test-${randomUUID()}`
      return {
        open: async () => openPresence({ url, prefix }, { members: 300 }),
        remove: () => removeKeys({ url }, prefix),
      }
    },
    { processes: 3, members: 300 },
  )

  const leaseMs = 1_000

  async function processWith(id: string, prefix: string): Promise<ChildProcess> {
    const child = spawn(process.execPath, [program, url ?? '', prefix, 'c', id, `${leaseMs}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    children.push(child)
    if (child.stdout) await once(child.stdout, 'data')
    return child
  }

  test('a process that is killed is gone for everyone, with its subscriptions', async () => {
    const prefix = `test-${randomUUID()}`
    const presence = open({ url }, { leaseMs }, prefix)
    const watched = watch(presence, 'c')
    await presence.join('c', member('here', 2))
    const child = await processWith('there', prefix)
    await until(() => watched.ids() === 'there here')
    await expect.poll(() => presence.subscriptions('c'), { timeout: 5_000 }).toBe(3)
    child.kill('SIGKILL')
    const killed = performance.now()
    await until(() => watched.ids() === 'here')
    expect(performance.now() - killed).toBeGreaterThan(leaseMs * 0.5)
    expect((await presence.members('c')).map(({ id }) => id)).toEqual(['here'])
    await expect.poll(() => presence.subscriptions('c'), { timeout: 5_000 }).toBe(0)
    watched.stop.abort()
  })

  test('where nobody else is, a process that is killed leaves nothing behind', async () => {
    const prefix = `test-${randomUUID()}`
    const presence = open({ url }, { leaseMs }, prefix)
    const child = await processWith('there', prefix)
    expect(await presence.size('c')).toBe(1)
    child.kill('SIGKILL')
    await expect.poll(() => presence.size('c'), { timeout: 5_000 }).toBe(0)
    const client = new Redis(url ?? '')
    await expect.poll(() => client.keys(`{${prefix}:*`), { timeout: 5_000 }).toEqual([])
    client.disconnect()
  })

  test('a process that was taken for dead comes back when it goes on', async () => {
    const prefix = `test-${randomUUID()}`
    const presence = open({ url }, { leaseMs }, prefix)
    const watched = watch(presence, 'c')
    const child = await processWith('there', prefix)
    await until(() => watched.ids() === 'there')
    child.kill('SIGSTOP')
    await until(() => watched.ids() === '')
    child.kill('SIGCONT')
    await until(() => watched.ids() === 'there')
    watched.stop.abort()
  })

  test('who joins is seen in another process within milliseconds', async () => {
    const prefix = `test-${randomUUID()}`
    const [one, other] = [open({ url }, {}, prefix), open({ url }, {}, prefix)]
    const watched = watch(other, 'c')
    await one.join('c', member('m', 0))
    await until(() => watched.ids() === 'm')
    const delays: number[] = []
    for (let n = 1; n <= 50; n++) {
      const began = performance.now()
      await one.join('c', member('m', 0, { state: n }))
      await until(() => watched.last()[0]?.state === n)
      delays.push(performance.now() - began)
    }
    watched.stop.abort()
    // The fastest tenth, for the machine may be busy.
    expect(delays.sort((a, b) => a - b)[5]).toBeLessThan(20)
  })

  test('ten thousand members are read in pages, and a change among them alone', async () => {
    const prefix = `test-${randomUUID()}`
    const [one, other] = [open({ url }, {}, prefix), open({ url }, {}, prefix)]
    const crowd = Array.from({ length: 10_000 }, (_, n) => member(`m${n}`, n))
    await Promise.all(crowd.map((each) => one.join('c', each)))
    const client = new Redis(url ?? '')
    const replies: number[] = []
    const watched = watch(other, 'c')
    await until(() => watched.last().length === 10_000)
    const before = Number(/total_net_output_bytes:(\d+)/.exec(await client.info('stats'))?.[1])
    await one.leave('c', 'm5000')
    await one.join('c', member('m7', 7, { state: 'changed' }))
    await until(() => watched.last().length === 9_999 && watched.last()[7]?.state === 'changed')
    replies.push(Number(/total_net_output_bytes:(\d+)/.exec(await client.info('stats'))?.[1]) - before)
    // The whole list has about a megabyte.
    expect(replies[0]).toBeLessThan(100_000)
    client.disconnect()
    watched.stop.abort()
  })

  test('a watcher that has missed very many departures reads the list anew', async () => {
    const prefix = `test-${randomUUID()}`
    const [one, other] = [open({ url }, {}, prefix), open({ url }, {}, prefix)]
    const crowd = Array.from({ length: 3_000 }, (_, n) => member(`m${n}`, n))
    await Promise.all(crowd.map((each) => one.join('c', each)))
    const stop = new AbortController()
    const lists = other.watch('c', stop.signal)[Symbol.asyncIterator]()
    expect((await lists.next()).value).toHaveLength(3_000)
    await Promise.all(crowd.slice(10).map(({ id }) => one.leave('c', id)))
    expect((await lists.next()).value).toEqual(crowd.slice(0, 10))
    stop.abort()
    await lists.next()
  })

  test('when the data are gone everyone is soon there again, and watchers see nobody leave', async () => {
    const prefix = `test-${randomUUID()}`
    const presences = [open({ url }, { leaseMs: 2_000 }, prefix), open({ url }, { leaseMs: 2_000 }, prefix)]
    const [one, other] = presences
    if (!one || !other) throw new Error('two were opened')
    await one.join('c', member('one', 1))
    await other.join('c', member('other', 2))
    one.count('c', 4)
    const watching = presences.map((presence) => watch(presence, 'c'))
    await until(() => watching.every(({ ids }) => ids() === 'one other'))
    await expect.poll(() => other.subscriptions('c'), { timeout: 5_000 }).toBe(4)
    await removeKeys({ url }, prefix)
    await expect.poll(async () => (await one.members('c')).length, { timeout: 10_000 }).toBe(2)
    await expect.poll(() => other.subscriptions('c'), { timeout: 10_000 }).toBe(4)
    await one.join('c', member('more', 3))
    await until(() => watching.every(({ ids }) => ids() === 'one other more'))
    for (const { lists, stop } of watching) {
      const ids = lists.map((list) => list.map(({ id }) => id).join(' '))
      const complete = ids.indexOf('one other')
      expect(ids.slice(complete).filter((each) => !each.startsWith('one other'))).toEqual([])
      stop.abort()
    }
  })
})

describe.skipIf(missing !== undefined)('in trouble', () => {
  test('a watcher whose connection is lost misses nothing', async () => {
    await using server = await startRedis({ settings: { appendonly: 'no' } })
    const [one, other] = [open(server, {}, 'p'), open(server, {}, 'p')]
    const watched = watch(other, 'c')
    await one.join('c', member('m0', 0))
    await until(() => watched.ids() === 'm0')
    const client = new Redis(server.url)
    for (let n = 1; n <= 30; n++) {
      if (n % 10 === 0) await client.call('client', ['kill', 'skipme', 'yes'])
      await eventually(() => one.join('c', member(`m${n}`, n)))
    }
    client.disconnect()
    await until(() => watched.last().length === 31)
    watched.stop.abort()
    await Promise.all(opened.splice(0).map((presence) => presence.close()))
  })

  for (const appendonly of ['yes', 'no']) {
    test(`after an outage everyone is there who was wanted, appendonly ${appendonly}`, {
      timeout: 60_000,
    }, async () => {
      await using server = await startRedis({ settings: { appendonly } })
      const [one, other] = [open(server, { leaseMs: 2_000 }, 'p'), open(server, { leaseMs: 2_000 }, 'p')]
      await one.join('c', member('stays', 1))
      await one.join('c', member('goes', 2))
      await other.join('c', member('other', 3))
      const watched = watch(other, 'c')
      await until(() => watched.ids() === 'stays goes other')
      await server.kill()
      await expect(one.join('c', member('comes', 4))).rejects.toBeInstanceOf(Retryable)
      await expect(one.leave('c', 'goes')).rejects.toBeInstanceOf(Retryable)
      expect(watched.ids()).toBe('stays goes other')
      await server.restart()
      await until(() => watched.ids() === 'stays other comes')
      await expect.poll(() => one.size('c'), { timeout: 5_000 }).toBe(3)
      await other.leave('c', 'other')
      await until(() => watched.ids() === 'stays comes')
      watched.stop.abort()
      await watched.ended
      await Promise.all(opened.splice(0).map((presence) => presence.close()))
    })
  }

  test('closing while the server is away does not wait for it for long', { timeout: 30_000 }, async () => {
    await using server = await startRedis({ settings: { appendonly: 'no' } })
    const presence = open(server, {}, 'p')
    await presence.join('c', member('m', 1))
    const watched = watch(presence, 'c')
    await until(() => watched.ids() === 'm')
    await server.kill()
    await Promise.all(opened.splice(0).map((each) => each.close()))
    await watched.ended
  })
})
