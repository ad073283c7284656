import { copyFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterEach, describe, expect, onTestFinished, test } from 'vitest'
import { openRedis, type RedisServices, type RedisSettings } from '../../../connectors/redis/index.ts'
import { Fatal, Retryable } from '../../../src/core/errors.ts'
import type { LiveEvent } from '../../../src/core/live-log.ts'
import { makeCertificates } from '../../services/certificates.ts'
import { freePorts } from '../../services/ports.ts'
import { redisMissing, startRedis } from '../../services/redis.ts'
import { newServerFolder } from '../../services/run-folder.ts'
import { eventually } from './servers.ts'

const missing = await redisMissing()
const event = (id: string): LiveEvent => ({ id, key: null, value: id, timestamp: 0 })
const lane = 'lane'

describe.skipIf(missing !== undefined)('in trouble', () => {
  const opened: RedisServices[] = []
  afterEach(async () => {
    for (const redis of opened.splice(0)) await redis.close()
  })
  const open = (settings: RedisSettings) => {
    const redis = openRedis(settings)
    opened.push(redis)
    return redis
  }
  const follow = (redis: RedisServices, channel: string, from: number, signal: AbortSignal) => {
    const ids: string[] = []
    const ended = (async () => {
      for await (const batch of redis.live.follow(channel, from, signal)) ids.push(...batch.map(({ id }) => id))
    })()
    return { ids, ended }
  }

  test('a follower whose connection is lost misses nothing', async () => {
    await using server = await startRedis({ settings: { appendonly: 'no' } })
    const [writer, reader] = [open(server), open(server)]
    await writer.live.append('c', lane, [event('0')], [0])
    await reader.live.head('c')
    const stop = new AbortController()
    const followed = follow(reader, 'c', 0, stop.signal)
    await expect.poll(() => followed.ids.length).toBe(1)
    const client = new Redis(server.url)
    for (let n = 1; n <= 60; n++) {
      if (n % 20 === 0) await client.call('client', ['kill', 'skipme', 'yes'])
      await eventually(() => writer.live.append('c', lane, [event(`${n}`)], [n]))
    }
    client.disconnect()
    await expect.poll(() => followed.ids.length, { timeout: 10_000 }).toBe(61)
    expect(followed.ids).toEqual(Array.from({ length: 61 }, (_, n) => `${n}`))
    stop.abort()
    await followed.ended
  })

  test('a server that starts anew begins a new epoch, with what it has kept', { timeout: 30_000 }, async () => {
    await using server = await startRedis()
    const redis = open(server)
    await redis.live.append('c', lane, [event('a'), event('b')], [0, 1])
    const before = await redis.live.head('c')
    const followed = follow(redis, 'c', 0, new AbortController().signal)
    await expect.poll(() => followed.ids.length).toBe(2)
    await server.kill()
    await expect(redis.live.append('c', lane, [event('c')], [2])).rejects.toBeInstanceOf(Retryable)
    await server.restart()
    await eventually(() => redis.live.append('c', lane, [event('b'), event('c')], [1, 2]))
    await followed.ended
    const after = await redis.live.head('c')
    expect(after).toMatchObject({ first: 0, next: 3 })
    expect(after.epoch).not.toBe(before.epoch)
    expect((await redis.live.read('c', 0, 10)).map(({ id }) => id)).toEqual(['a', 'b', 'c'])
  })

  test('a server that has kept nothing begins a new epoch from nothing', { timeout: 30_000 }, async () => {
    await using server = await startRedis({ settings: { appendonly: 'no' } })
    const redis = open(server)
    await redis.live.append('c', lane, [event('a'), event('b')], [0, 1])
    const before = await redis.live.head('c')
    const followed = follow(redis, 'c', 0, new AbortController().signal)
    await expect.poll(() => followed.ids.length).toBe(2)
    await server.kill()
    await server.restart()
    await eventually(() => redis.live.append('c', lane, [event('c')], [2]))
    await followed.ended
    expect(followed.ids).toEqual(['a', 'b'])
    const after = await redis.live.head('c')
    expect(after).toMatchObject({ first: 0, next: 1 })
    expect(after.epoch).not.toBe(before.epoch)
    expect(await redis.live.channels()).toEqual(['c'])
  })

  test('a server that hangs is worth another try, and is used again when it goes on', { timeout: 30_000 }, async () => {
    await using server = await startRedis({ settings: { appendonly: 'no' } })
    const redis = open(server)
    await redis.live.append('c', lane, [event('a')], [0])
    server.pause()
    await expect(redis.live.append('c', lane, [event('b')], [1])).rejects.toBeInstanceOf(Retryable)
    server.resume()
    await eventually(() => redis.live.append('c', lane, [event('b')], [1]))
    expect((await redis.live.read('c', 0, 10)).map(({ id }) => id)).toEqual(['a', 'b'])
  })

  test('a connection that has gone dead without a word is replaced', { timeout: 60_000 }, async () => {
    await using server = await startRedis({ settings: { appendonly: 'no' } })
    const network = await startNetwork(Number(new URL(server.url).port))
    const [redis, other] = [open({ url: network.url }), open(server)]
    await redis.live.append('c', lane, [event('a')], [0])
    const stop = new AbortController()
    const followed = follow(redis, 'c', 0, stop.signal)
    await expect.poll(() => followed.ids).toEqual(['a'])
    network.cut()
    await other.live.append('c', lane, [event('b')], [1])
    await expect.poll(() => followed.ids, { timeout: 20_000 }).toEqual(['a', 'b'])
    await eventually(() => redis.live.append('c', lane, [event('c')], [2]), 10_000)
    const client = new Redis(server.url)
    onTestFinished(() => client.disconnect())
    const listeners = async () => String(await client.call('client', ['list'])).match(/name=millrace-listener/g)?.length
    await expect.poll(listeners, { timeout: 15_000 }).toBe(2)
    stop.abort()
    await followed.ended
  })

  test('a server that may not be written to says so at once, and is left as soon as another has its address', async () => {
    await using primary = await startRedis({ settings: { appendonly: 'no' } })
    const replicaof = `127.0.0.1 ${new URL(primary.url).port}`
    await using replica = await startRedis({ settings: { appendonly: 'no', replicaof } })
    const redis = open(replica)
    const began = performance.now()
    const error = await redis.live.append('c', lane, [event('a')], [0]).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(Retryable)
    expect(String(error)).toContain('READONLY')
    expect(performance.now() - began).toBeLessThan(2_000)
    const client = new Redis(replica.url)
    onTestFinished(() => client.disconnect())
    const connections = async () =>
      Number(/total_connections_received:(\d+)/.exec(String(await client.call('info', ['stats'])))?.[1])
    const before = await connections()
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect((await connections()) - before).toBeLessThanOrEqual(1)
    await client.call('replicaof', ['no', 'one'])
    await eventually(() => redis.live.append('c', lane, [event('a')], [0]))
    expect((await redis.live.read('c', 0, 10)).map(({ id }) => id)).toEqual(['a'])
  })

  test('a server that knows another password says so once and for all, without ours', async () => {
    await using server = await startRedis({ settings: { appendonly: 'no', requirepass: 'right' } })
    const wrong = { url: server.url.replace('//', '//:wrong-secret@') }
    for (const settings of [{ url: server.url }, wrong, { url: server.url, password: 'wrong-secret' }]) {
      const error = await open(settings)
        .live.head('c')
        .catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(Fatal)
      expect(error).toMatchObject({ code: 'redis_refused' })
      expect(String(error)).not.toContain('wrong-secret')
    }
    expect(await open({ url: server.url, password: 'right' }).live.head('c')).toMatchObject({ next: 0 })
  })

  test('TLS trusts the authorities it is told to, and no others', { timeout: 30_000 }, async () => {
    const { authority, server: own, client } = await makeCertificates(join(newServerFolder('redis'), 'certificates'))
    const [port = 0] = await freePorts(1)
    const tls = {
      'tls-port': String(port),
      'tls-cert-file': own.certificate,
      'tls-key-file': own.key,
      'tls-ca-cert-file': authority,
    }
    await using _server = await startRedis({ settings: { appendonly: 'no', ...tls } })
    const url = `rediss://127.0.0.1:${port}`
    const trusting = { url, ca: authority, cert: client.certificate, key: client.key }
    expect(await open(trusting).live.head('c')).toMatchObject({ next: 0 })
    await expect(open({ url }).live.head('c')).rejects.toBeInstanceOf(Retryable)
    const nowhere = open({ url, ca: '/nowhere.pem' }).live.head('c')
    await expect(nowhere).rejects.toMatchObject({ code: 'bad_certificate_file' })
    const ca = `${authority}.late`
    const early = open({ ...trusting, ca })
    await expect(early.live.head('c')).rejects.toMatchObject({ code: 'bad_certificate_file' })
    copyFileSync(authority, ca)
    expect(await early.live.head('c')).toMatchObject({ next: 0 })
  })

  test('a user that may not do what is needed is told so', async () => {
    const user = 'app on >secret ~* &* +@all -publish'
    await using server = await startRedis({ settings: { appendonly: 'no', user } })
    const redis = open({ url: server.url, username: 'app', password: 'secret' })
    const error = await redis.live.append('c', lane, [event('a')], [0]).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(Fatal)
    expect(error).toMatchObject({ code: 'redis_refused' })
  })

  test('a user needs no more than its keys, its channels and these commands', async () => {
    const commands = ['@connection', '@scripting', 'info', 'time', '@read', '@hash', '@stream', 'publish', 'subscribe']
    const more = ['unsubscribe', 'set', 'sadd', 'srem', '@sortedset', 'del', 'pexpire', 'persist']
    const user = `app on >secret resetkeys ~{millrace:* ~millrace:* &{millrace:* -@all ${[...commands, ...more].map((name) => `+${name}`).join(' ')}`
    await using server = await startRedis({ settings: { appendonly: 'no', user } })
    const redis = open({ url: server.url, username: 'app', password: 'secret' })
    await redis.live.head('c')
    const stop = new AbortController()
    const followed = follow(redis, 'c', 0, stop.signal)
    await redis.live.append('c', lane, [event('a')], [0])
    await expect.poll(() => followed.ids, { timeout: 10_000 }).toEqual(['a'])
    const scope = await redis.state.takeOver('s', 0)
    await scope.prepare(1, [{ key: 'k', value: 1 }])
    expect(await (await redis.state.takeOver('s', 0)).get(['k'])).toEqual([undefined])
    redis.vectors.set('k', Float32Array.of(1))
    expect(await redis.live.channels()).toEqual(['c'])
    redis.presence.count('c', 1)
    await redis.presence.join('c', { id: 'm', user: 'ann', state: null, since: 1 })
    const watched = redis.presence.watch('c', stop.signal)[Symbol.asyncIterator]()
    expect((await watched.next()).value).toHaveLength(1)
    await expect.poll(() => redis.presence.subscriptions('c'), { timeout: 5_000 }).toBe(1)
    await redis.presence.leave('c', 'm')
    stop.abort()
    await followed.ended
  })
})

interface Network {
  readonly url: string
  /** What is connected hears nothing more, and is not told. New connections lead to the server. */
  cut(): void
}

async function startNetwork(port: number): Promise<Network> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    const onward = connect(port, '127.0.0.1')
    for (const end of [socket, onward]) {
      sockets.add(end)
      end.on('error', () => undefined)
    }
    socket.pipe(onward)
    onward.pipe(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  return {
    url: `redis://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`,
    cut: () => {
      for (const socket of sockets) socket.unpipe().resume()
    },
  }
}
