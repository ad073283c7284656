import { SignJWT } from 'jose'
import { afterEach, describe, expect, test } from 'vitest'
import type { LiveEvent } from '../../src/core/live-log.ts'
import { MemoryLiveLog } from '../live/memory-live-log.ts'
import { Socket } from '../live/socket.ts'
import { type Harness, startServer } from './harness.ts'

const secret = 'a secret of 32 characters at least, or more'
const open: AsyncDisposable[] = []
const sockets: Socket[] = []

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.close()
  for (const server of open.splice(0)) await server[Symbol.asyncDispose]()
})

async function server(options: Parameters<typeof startServer>[0] = {}): Promise<Harness> {
  const made = await startServer(options)
  open.push(made)
  return made
}

async function visit(to: Harness, channel: string, presence: unknown, token?: string): Promise<Socket> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
  const socket = await Socket.open(to.address, { headers })
  sockets.push(socket)
  socket.send({ id: 1, type: 'subscribe', channel, ...(presence === undefined ? {} : { presence }) })
  expect(await socket.reply(1)).toMatchObject({ type: 'subscribed' })
  return socket
}

interface Channel {
  readonly name: string
  readonly rate: number
  readonly subscriptions?: number
}
interface Present {
  readonly count: number
  readonly members: readonly { readonly user: string }[]
}

async function get<Body>(from: Harness, path: string, token?: string) {
  const answer = await from.fetch(path, token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } })
  const body: Body = JSON.parse(await answer.text())
  return { status: answer.status, body }
}

function events(count: number): LiveEvent[] {
  return Array.from({ length: count }, (_, n) => ({ id: `${n}`, key: null, value: n, timestamp: 1 }))
}

const offsets = (count: number, from = 0) => Array.from({ length: count }, (_, n) => from + n)

describe('channels', () => {
  test('say what they keep, how fast they grow, and who uses them', async () => {
    const harness = await server()
    expect((await get(harness, '/v1/channels')).body).toEqual({ channels: [] })
    await harness.liveLog.append('tickets', 'lane', events(120), offsets(120))
    await harness.liveLog.append('other', 'lane', events(1), [0])
    await visit(harness, 'tickets', undefined)
    await visit(harness, 'tickets', { state: 'here' })
    const { epoch } = await harness.liveLog.head('tickets')
    const tickets = { name: 'tickets', epoch, first: 0, next: 120, events: 120, rate: 2, subscriptions: 2, members: 1 }
    await expect.poll(async () => (await get(harness, '/v1/channels/tickets')).body).toEqual(tickets)
    const { body } = await get<{ channels: Channel[] }>(harness, '/v1/channels')
    expect(body.channels).toContainEqual(tickets)
    expect(body.channels).toContainEqual({
      name: 'other',
      epoch,
      first: 0,
      next: 1,
      events: 1,
      rate: 0,
      subscriptions: 0,
      members: 0,
    })
  })

  test('say who is present', async () => {
    const harness = await server()
    const socket = await visit(harness, 'tickets', { state: { typing: true } })
    await visit(harness, 'tickets', { join: false })
    const member = { id: expect.any(String), user: 'local', state: { typing: true }, since: expect.any(Number) }
    await expect
      .poll(async () => (await get(harness, '/v1/channels/tickets/presence')).body)
      .toEqual({ count: 1, members: [member] })
    const metrics = async () => (await harness.fetch('/metrics')).text()
    expect(await metrics()).toContain('millrace_live_members{channel="tickets"} 1')
    socket.close()
    await expect
      .poll(async () => (await get(harness, '/v1/channels/tickets/presence')).body)
      .toEqual({ count: 0, members: [] })
    expect(await metrics()).not.toContain('millrace_live_members{')
    expect((await get(harness, '/v1/channels/never/presence')).body).toEqual({ count: 0, members: [] })
    expect((await get(harness, '/v1/channels/never')).body).toMatchObject({ events: 0, rate: 0, members: 0 })
  })

  test('show what the caller may know: the channels, and the members that see the same rows', async () => {
    const harness = await server({
      access: {
        jwt: { secret, clockTolerance: 0 },
        access: [
          { when: { role: 'admin' }, subscribe: ['*'] },
          { when: { role: 'user' }, subscribe: ['tickets'], rows: { tenant: 'tenant' } },
        ],
      },
    })
    const sign = (claims: Record<string, string>) =>
      new SignJWT(claims)
        .setProtectedHeader({ alg: 'HS256' })
        .setExpirationTime('1h')
        .sign(new TextEncoder().encode(secret))
    const admin = await sign({ sub: 'root', role: 'admin' })
    const ann = await sign({ sub: 'ann', role: 'user', tenant: 'a' })
    const bob = await sign({ sub: 'bob', role: 'user', tenant: 'b' })
    await harness.liveLog.append('tickets', 'lane', events(1), [0])
    await harness.liveLog.append('secret', 'lane', events(1), [0])
    await visit(harness, 'tickets', {}, ann)
    await visit(harness, 'tickets', {}, bob)
    await visit(harness, 'tickets', {}, admin)

    const users = async (token: string) => {
      const { body } = await get<Present>(harness, '/v1/channels/tickets/presence', token)
      return [body.count, ...body.members.map(({ user }) => user).sort()]
    }
    await expect.poll(() => users(admin)).toEqual([3, 'ann', 'bob', 'root'])
    expect(await users(ann)).toEqual([1, 'ann'])
    expect(await users(bob)).toEqual([1, 'bob'])
    expect((await get(harness, '/v1/channels/tickets', admin)).body).toMatchObject({ subscriptions: 3, members: 3 })
    const mine = (await get<{ channels: Channel[] }>(harness, '/v1/channels', ann)).body.channels
    expect(mine).toMatchObject([{ name: 'tickets', members: 1 }])
    expect(mine[0]?.subscriptions).toBeUndefined()
    expect((await get<{ channels: Channel[] }>(harness, '/v1/channels', admin)).body.channels).toHaveLength(2)
    for (const path of ['/v1/channels/secret', '/v1/channels/secret/presence']) {
      expect(await get(harness, path, ann)).toMatchObject({ status: 403, body: { code: 'forbidden' } })
      expect(await get(harness, path)).toMatchObject({ status: 401 })
    }
  })

  test('have the rate of the last minute, or of what is kept of it', async () => {
    const log = new MemoryLiveLog(100)
    const harness = await server({ live: log })
    await log.append('c', 'lane', events(1))
    expect((await get<Channel>(harness, '/v1/channels/c')).body.rate).toBe(0)
    // Of 300 only the last 100 are kept, which came within a second or so.
    await log.append('c', 'lane', events(299))
    const { body } = await get<Channel>(harness, '/v1/channels/c')
    expect(body).toMatchObject({ first: 200, next: 300, events: 100 })
    expect(body.rate).toBeGreaterThan(10)
    expect(body.rate).toBeLessThanOrEqual(100)
  })
})
