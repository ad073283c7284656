import { setTimeout as sleep } from 'node:timers/promises'
import { SignJWT, UnsecuredJWT } from 'jose'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { closeCodes } from '../../src/live/protocol.ts'
import { type Harness, startServer } from '../server/harness.ts'
import { Crowd } from './crowd.ts'
import { closeCode, frame, rawSocket } from './raw-socket.ts'
import { Socket } from './socket.ts'

const secret = 'a secret of the issuer, and of nobody else'
const tokenOf = (tenant: string, { key = secret, lifetime = '1h' } = {}) =>
  new SignJWT({ tenant, sub: tenant })
    .setProtectedHeader({ alg: 'HS256' })
    .setExpirationTime(lifetime)
    .sign(new TextEncoder().encode(key))

/** One server with fifty clients that must not notice anything, from the first test to the last. */
let harness: Harness
let crowd: Crowd
const sockets: Socket[] = []

beforeAll(async () => {
  harness = await startServer({
    access: {
      jwt: { secret, clockTolerance: 0 },
      access: [{ subscribe: ['public.*', '{tenant}.*'], publish: ['{tenant}.in'] }],
    },
    liveLimits: { stalledMs: 300, heartbeatMs: 2_000, sessionsPerAddress: 80, authenticateMs: 1_000 },
  })
  crowd = await Crowd.gather(harness, 'good.events', 50, () => tokenOf('good'))
}, 60_000)
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.close()
  await crowd.isWell()
}, 60_000)
afterAll(async () => {
  await crowd.leave()
  await harness[Symbol.asyncDispose]()
})

type SocketOptions = Parameters<typeof Socket.open>[1]
async function connect(options: SocketOptions = {}): Promise<Socket> {
  const socket = await Socket.open(harness.address, options)
  sockets.push(socket)
  return socket
}
async function evil(options: SocketOptions = {}): Promise<Socket> {
  return connect({ ...options, headers: { authorization: `Bearer ${await tokenOf('evil')}` } })
}

describe('frames', () => {
  const text = (length: number) => Buffer.alloc(length, 'x')
  test.each<[string, readonly Buffer[], number]>([
    ['bytes that are no frames', [Buffer.alloc(4_096, 0xff)], 1002],
    ['an opcode that is none', [frame(3, text(4))], 1002],
    ['text that is not UTF-8', [frame(1, Buffer.from([0xff, 0xfe]))], 1007],
    ['a header that announces a terabyte', [frame(1, text(10), { length: 2 ** 40 })], 1009],
    ['more than may be, in fragments', [frame(1, text(600_000), { final: false }), frame(0, text(600_000))], 1009],
    ['a fragment of nothing', [frame(0, text(4))], 1002],
  ])('%s', async (_what, frames, code) => {
    const socket = await rawSocket(harness.address, await tokenOf('evil'))
    for (const bytes of frames) socket.write(bytes)
    expect(await closeCode(socket)).toBe(code)
  })

  test('a frame that never ends, of someone who answers no pings', async () => {
    const socket = await rawSocket(harness.address, await tokenOf('evil'))
    const closed = closeCode(socket)
    const trickle = async () => {
      socket.write(frame(1, Buffer.alloc(0), { length: 500_000 }))
      while (!socket.destroyed) {
        socket.write('x')
        await sleep(50)
      }
    }
    await Promise.all([trickle(), expect(closed).resolves.toBe(closeCodes.timedOut)])
  }, 20_000)

  test('ten of garbage, binary ones, a bomb of brackets', async () => {
    for (const garbage of ['{"id":', Buffer.from('{}'), '['.repeat(100_000), '7', 'null', '{"type":"__proto__"}']) {
      const socket = await evil()
      for (let count = 0; count < 10; count++) socket.raw.send(garbage)
      expect(await socket.reply(null)).toMatchObject({ type: 'error', code: 'bad_message' })
      expect(await socket.whenClosed()).toMatchObject({ code: closeCodes.badFrames })
    }
  })

  test('a hundred thousand arrays in each other, as an event and as the state of a member', async () => {
    const socket = await evil()
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
    await harness.log.ensureTopic('evil.in')
    socket.raw.send(`{"id":1,"type":"publish","topic":"evil.in","events":[${deep}]}`)
    expect(await socket.reply(1)).toMatchObject({ code: 'invalid_events' })
    socket.raw.send(`{"id":2,"type":"subscribe","channel":"evil.c","presence":{"state":${deep}}}`)
    expect(await socket.reply(2)).toMatchObject({ type: 'error', retry: false })
  })

  test('a bomb that inflates to fifty megabytes', async () => {
    const socket = await evil({ client: { perMessageDeflate: true } })
    socket.raw.send('a'.repeat(50_000_000), { compress: true })
    expect(await socket.whenClosed()).toMatchObject({ code: 1009 })
  })
})

describe('requests', () => {
  test('a thousand subscriptions', async () => {
    const socket = await evil()
    for (let id = 1; id <= 450; id++) socket.send({ id, type: 'subscribe', channel: `evil.${id}` })
    expect(await socket.reply(450)).toMatchObject({ code: 'too_many_subscriptions' })
    for (let id = 451; id <= 1_000; id++) socket.send({ id, type: 'subscribe', channel: `evil.${id}` })
    expect(await socket.next(({ code }) => code === 'rate_limited')).toMatchObject({ type: 'error', retry: true })
    expect(socket.received.filter(({ type }) => type === 'subscribed')).toHaveLength(100)
  })

  test('ten thousand requests', async () => {
    const socket = await evil()
    for (let id = 1; id <= 10_000; id++) socket.send({ id, type: 'unsubscribe', subscription: 'none' })
    expect(await socket.whenClosed()).toMatchObject({ code: closeCodes.tooManyRequests })
    expect(socket.received.at(-1)).toMatchObject({ type: 'reconnect', after: expect.any(Number) })
    expect(socket.received.filter(({ code }) => code === 'rate_limited').length).toBeGreaterThan(100)
  })

  test.each([
    ['macros in macros', '[1,2,3].all(a, [1,2,3].all(b, [1,2,3].all(c, true)))', 'invalid_expression'],
    ['a long text for each item', "value.list.exists(x, value.text.contains('b'))", 'invalid_expression'],
    ['a text longer than expressions may be', `value.text == '${'a'.repeat(5_000)}'`, 'bad_message'],
    ['brackets without end', `${'('.repeat(2_000)}true${')'.repeat(2_000)}`, 'invalid_expression'],
    ['a pattern of a million states', "value.text.matches('((a{1000}){1000}){1000}')", 'invalid_expression'],
  ])('an expensive filter, and conflation by one: %s', async (_what, expression, code) => {
    const socket = await evil()
    const channel = 'evil.c'
    socket.send({ id: 1, type: 'subscribe', channel, filter: expression })
    expect(await socket.reply(1)).toMatchObject({ type: 'error', code, retry: false })
    socket.send({ id: 2, type: 'subscribe', channel, conflate: expression })
    expect(await socket.reply(2)).toMatchObject({ type: 'error', code, retry: false })
  })

  test('a pattern on which other engines go back and forth for ever', async () => {
    const socket = await evil()
    socket.send({ id: 1, type: 'subscribe', channel: 'evil.c', filter: "value.text.matches('^(a+)+$')" })
    expect(await socket.reply(1)).toMatchObject({ type: 'subscribed' })
    const value = { text: `${'a'.repeat(50_000)}!` }
    await harness.liveLog.append('evil.c', 'lane', [{ id: '1', key: null, value, timestamp: 1 }], [1])
    await harness.liveLog.append('evil.c', 'lane', [{ id: '2', key: null, value: { text: 'a' }, timestamp: 1 }], [2])
    expect(await socket.ofType('events')).toMatchObject({ events: [{ id: '2' }] })
  })

  test('an expression that turns out to be expensive', async () => {
    const socket = await evil()
    const matches = Array.from({ length: 90 }, (_, n) => `value.text.matches('(a|b|c)*${n}d')`)
    socket.send({ id: 1, type: 'subscribe', channel: 'evil.costly', filter: matches.join(' || ') })
    expect(await socket.reply(1)).toMatchObject({ type: 'subscribed' })
    const value = { text: 'a'.repeat(10_000) }
    const events = Array.from({ length: 50 }, (_, n) => ({ id: `${n}`, key: null, value, timestamp: 1 }))
    await harness.liveLog.append('evil.costly', 'lane', events, [...events.keys()])
    expect(await socket.ofType('ended')).toMatchObject({ code: 'expression_too_costly', retry: false })
    socket.send({ id: 2, type: 'subscribe', channel: 'evil.costly', filter: matches.join(' || ') })
    expect(await socket.reply(2)).toMatchObject({ code: 'expression_too_costly' })
  })

  test('hundreds of texts by meaning', async () => {
    const socket = await evil()
    for (let id = 1; id <= 400; id++) {
      socket.send({ id, type: 'subscribe', channel: 'evil.c', similar: { text: `text number ${id}` } })
    }
    const other = await connect({ headers: { authorization: `Bearer ${await tokenOf('other')}` } })
    other.send({ id: 1, type: 'subscribe', channel: 'other.c', similar: { text: 'mine' } })
    expect(await other.reply(1)).toMatchObject({ type: 'subscribed' })
    expect(await socket.reply(400)).toMatchObject({ code: 'too_many_subscriptions' })
  })

  test('a client that never reads', async () => {
    const value = 'x'.repeat(20_000)
    const events = Array.from({ length: 1_000 }, (_, n) => ({ id: `${n}`, key: null, value, timestamp: 1 }))
    const socket = await evil({ client: { perMessageDeflate: false } })
    socket.send({ id: 1, type: 'subscribe', channel: 'evil.large' })
    await socket.reply(1)
    socket.raw.pause()
    const metric = `millrace_live_closed_total{code="${closeCodes.slowClient}"}`
    for (let round = 0; round < 200 && !(await harness.metrics.text()).includes(metric); round++) {
      const offsets = events.map((_, n) => round * events.length + n)
      await harness.liveLog.append('evil.large', 'lane', events, offsets)
      await sleep(20)
    }
    expect(await harness.metrics.text()).toContain(metric)
  }, 30_000)
})

describe('who one is', () => {
  const refused = (options: SocketOptions) => expect(connect(options)).rejects
  test('a page of another origin', async () => {
    const headers = { origin: 'https://evil.example', authorization: `Bearer ${await tokenOf('evil')}` }
    await refused({ headers }).toThrow('403')
  })

  test.each<[string, () => Promise<string>, string]>([
    ['expired', () => tokenOf('good', { lifetime: '-1s' }), 'token_expired'],
    ['forged', () => tokenOf('good', { key: 'the secret of someone else, as long' }), 'token_invalid'],
    ['of no algorithm', async () => new UnsecuredJWT({ tenant: 'good', sub: 'good' }).encode(), 'token_untrusted'],
    ['no token at all', async () => '__proto__', 'token_invalid'],
    ['very long', async () => `${'a'.repeat(300_000)}.b.c`, 'token_invalid'],
  ])('a token that is %s', async (_what, make, code) => {
    const token = await make()
    if (token.length < 8_000) await refused({ headers: { authorization: `Bearer ${token}` } }).toThrow('401')
    const socket = await connect()
    socket.send({ id: 1, type: 'authenticate', token })
    expect(await socket.reply(1)).toMatchObject({ type: 'error', code })
    expect(await socket.whenClosed()).toMatchObject({ code: closeCodes.unauthenticated })
    expect(JSON.stringify(harness.errors)).not.toContain(token)
  })

  test('none: nothing is answered, and the connection ends', async () => {
    const socket = await connect()
    for (const message of [
      { id: 1, type: 'subscribe', channel: 'good.events' },
      { id: 2, type: 'publish', topic: 'good.in', events: [1] },
    ]) {
      socket.send(message)
      expect(await socket.reply(message.id)).toMatchObject({ code: 'unauthenticated' })
    }
    expect(await socket.whenClosed()).toMatchObject({ code: closeCodes.unauthenticated })
  })

  test.each([
    ['its name', 'good.events', 'forbidden'],
    ['what patterns are made of', 'good.*', 'bad_message'],
    ['a star', '*', 'bad_message'],
    ['a claim', '{tenant}.events', 'bad_message'],
    ['letters that look alike', 'gооd.events', 'bad_message'],
    ['letters of full width', 'ｇood.events', 'bad_message'],
    ['a sign that is not seen', 'good\u200b.events', 'bad_message'],
    ['another case', 'GOOD.events', 'forbidden'],
    ['a way up', 'evil./../good.events', 'bad_message'],
    ['a line break', 'evil.x\ngood.events', 'bad_message'],
    ['a nul', 'evil.\0good.events', 'bad_message'],
    ['what every object has', '__proto__', 'forbidden'],
    ['what every object has', 'constructor', 'forbidden'],
    ['the server’s own', 'millrace.audit', 'forbidden'],
    ['nothing', '', 'bad_message'],
  ])('another tenant’s channel, by %s', async (_what, channel, code) => {
    const socket = await evil()
    socket.send({ id: 1, type: 'subscribe', channel })
    expect(await socket.reply(1)).toMatchObject({ type: 'error', code })
    const stream = await harness.fetch(`/v1/live/${encodeURIComponent(channel)}`, {
      headers: { authorization: `Bearer ${await tokenOf('evil')}` },
    })
    expect(stream.status).toBeGreaterThanOrEqual(400)
    await stream.text()
  })

  test('names that every object has are names like others', async () => {
    const socket = await connect({ headers: { authorization: `Bearer ${await tokenOf('constructor')}` } })
    for (const [index, channel] of ['constructor.__proto__', 'public.__proto__'].entries()) {
      socket.send({ id: index, type: 'subscribe', channel })
      expect(await socket.reply(index)).toMatchObject({ type: 'subscribed', offset: -1 })
    }
    await harness.liveLog.append(
      'public.__proto__',
      'lane',
      [{ id: '__proto__', key: 'x', value: 1, timestamp: 1 }],
      [1],
    )
    expect(await socket.ofType('events')).toMatchObject({ subscription: 's2', events: [{ id: '__proto__' }] })
  })
})

test('a flood of connections from one address', async () => {
  const flood = await Promise.all(Array.from({ length: 120 }, () => connect({ client: { localAddress: '127.0.0.2' } })))
  await expect.poll(() => flood.filter(({ closed }) => closed !== undefined).length).toBeGreaterThanOrEqual(40)
  const codes = flood.flatMap(({ closed }) => (closed ? [closed.code] : []))
  expect(new Set(codes)).toEqual(new Set([closeCodes.overloaded]))
  const neighbour = await evil({ client: { localAddress: '127.0.0.3' } })
  neighbour.send({ id: 1, type: 'subscribe', channel: 'evil.c' })
  expect(await neighbour.reply(1)).toMatchObject({ type: 'subscribed' })
  // Who shows no token does not hold the others' places for long.
  for (const socket of flood) expect(await socket.whenClosed()).toBeDefined()
})
