import { afterEach, describe, expect, test, vi } from 'vitest'
import {
  type Client,
  type ConnectOptions,
  connect,
  type LiveEvent,
  type PresenceMember,
} from '../../src/client/index.ts'
import { type ClientMessage, closeCodes, heartbeatMs, type ServerMessage } from '../../src/live/protocol.ts'
import { type FakeConnection, FakeServer, settled } from './fake-server.ts'

const clients: Client[] = []
afterEach(() => {
  for (const client of clients.splice(0)) client.close()
  vi.unstubAllGlobals()
  vi.useRealTimers()
})

function open(
  server: FakeServer,
  options: ConnectOptions & { readonly address?: string | readonly string[] } = {},
): Client {
  const { address = 'http://a', ...given } = options
  const client = connect(address, { WebSocket: server.WebSocket, transport: 'websocket', ...given })
  clients.push(client)
  return client
}

/** Takes every subscription, and says nothing more. */
function accepting(): FakeServer {
  const server = new FakeServer()
  server.answer = (message, connection) => accept(message, connection)
  return server
}
function accept(message: ClientMessage, connection: FakeConnection, offset = -1): void {
  const { id } = message
  if (message.type === 'subscribe') {
    const since = message.since
    const from = typeof since === 'object' && 'epoch' in since ? since.offset : offset
    connection.send({ id, type: 'subscribed', subscription: `s${id}`, epoch: 'e', offset: from, recovered: true })
  } else if (message.type === 'authenticate') {
    connection.send({ id, type: 'authenticated', user: 'u', expires: null })
  }
}
const event = (offset: number): LiveEvent & { value: number } => ({
  offset,
  id: `${offset}`,
  time: 0,
  key: null,
  value: offset,
})
const events = (subscription: string, ...offsets: number[]): ServerMessage => ({
  type: 'events',
  subscription,
  events: offsets.map(event),
})
const subscribed = (connection: FakeConnection | undefined) =>
  connection?.received.filter(({ type }) => type === 'subscribe') ?? []
const tokensOf = ({ received }: FakeConnection) =>
  received.flatMap((message) => (message.type === 'authenticate' ? [message.token] : []))

describe('what the server says', () => {
  test('that a subscription has ended, and that it should be asked for again: it goes on from where it was', async () => {
    const server = accepting()
    const subscription = open(server).subscribe('c')
    await subscription.ready()
    server.last.send(events('s1', 0, 1))
    server.last.send({ type: 'ended', subscription: 's1', code: 'rows_changed', message: 'again', retry: true })
    await expect.poll(() => subscribed(server.last)).toHaveLength(2)
    expect(subscribed(server.last)[1]).toMatchObject({ since: { epoch: 'e', offset: 1 } })
    expect(server.connections).toHaveLength(1)
  })

  test('that a subscription has ended for good', async () => {
    const server = accepting()
    const client = open(server)
    const subscription = client.subscribe('c')
    await subscription.ready()
    const error = new Promise((resolve) => subscription.on('error', resolve))
    server.last.send({ type: 'ended', subscription: 's1', code: 'forbidden', message: 'not any more', retry: false })
    expect(await error).toMatchObject({ code: 'forbidden', message: 'not any more' })
    await expect(subscription[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'forbidden' })
    expect(client.state).toBe('idle')
  })

  test('when to come back', async () => {
    vi.useFakeTimers()
    const server = accepting()
    const subscription = open(server).subscribe('c')
    await settled()
    server.last.send({ type: 'reconnect', after: 7_000, reason: 'shutting down' })
    await settled()
    server.last.break(closeCodes.goingAway)
    await settled()
    await vi.advanceTimersByTimeAsync(6_990)
    expect(server.connections).toHaveLength(1)
    await vi.advanceTimersByTimeAsync(20)
    expect(server.connections).toHaveLength(2)
    // It holds once.
    server.last.break()
    await vi.advanceTimersByTimeAsync(400)
    expect(server.connections).toHaveLength(3)
    expect(subscription.closed).toBe(false)
  })

  test('that something is not as it was asked for', async () => {
    const server = accepting()
    const subscription = open(server).subscribe('c')
    await subscription.ready()
    const warning = new Promise((resolve) => subscription.on('warning', resolve))
    server.last.send({ id: null, type: 'error', code: 'no_vector', message: '…', retry: false, subscription: 's1' })
    expect(await warning).toMatchObject({ code: 'no_vector' })
    expect(subscription.closed).toBe(false)
  })

  test('to a subscription that was closed before the answer: it is given back', async () => {
    const server = new FakeServer()
    const client = open(server)
    client.subscribe('stays')
    const closed = client.subscribe('closed')
    await expect.poll(() => subscribed(server.connections[0])).toHaveLength(2)
    closed.close()
    server.last.send({ id: 2, type: 'subscribed', subscription: 'x', epoch: 'e', offset: -1, recovered: true })
    await settled()
    expect(server.last.received.at(-1)).toMatchObject({ type: 'unsubscribe', subscription: 'x' })
    await expect(closed.ready()).rejects.toMatchObject({ code: 'closed' })
  })

  test('nothing for long: the connection is made anew', async () => {
    vi.useFakeTimers()
    const server = accepting()
    const client = open(server)
    client.subscribe('c')
    await settled()
    await vi.advanceTimersByTimeAsync(heartbeatMs * 2)
    server.last.send({ type: 'heartbeat', offsets: {} })
    await vi.advanceTimersByTimeAsync(heartbeatMs * 2)
    expect(server.connections).toHaveLength(1)
    await vi.advanceTimersByTimeAsync(heartbeatMs)
    expect(server.connections).toHaveLength(2)
    expect(client.state).toBe('open')
  })
})

describe('presence', () => {
  const member = (id: string, state: string | null = null): PresenceMember => ({ id, user: 'u', state, since: 1 })

  test('is kept as it changes, and what is shown of oneself is told again after a reconnection', async () => {
    const server = accepting()
    const subscription = open(server).subscribe('c', { presence: { state: 'new' } })
    await subscription.ready()
    expect(subscription.members).toBeUndefined()
    const told: unknown[] = []
    subscription.on('presence', (members) => told.push(members.map(({ id, state }) => `${id}:${state}`)))
    const say = (message: object) => server.last.send({ type: 'presence', subscription: 's1', ...message })
    say({ members: [member('a'), member('b')] })
    say({ joined: [member('a', 'busy'), member('c')] })
    say({ left: ['b'] })
    say({ members: [member('z')] })
    await expect
      .poll(() => told)
      .toEqual([['a:null', 'b:null'], ['a:busy', 'b:null', 'c:null'], ['a:busy', 'c:null'], ['z:null']])
    expect(subscription.members).toEqual([member('z')])
    server.answer = (message, connection) => {
      if (message.type === 'presence') connection.send({ id: message.id, type: 'present' })
      else accept(message, connection)
    }
    await subscription.setState('away')
    expect(server.last.received.at(-1)).toMatchObject({ type: 'presence', subscription: 's1', state: 'away' })
    server.last.break()
    await expect.poll(() => server.connections.length).toBe(2)
    await expect.poll(() => subscribed(server.last)[0]).toMatchObject({ presence: { state: 'away' } })
  })

  test('a state that is set while the server is asked is told when it has answered', async () => {
    const server = new FakeServer()
    const subscription = open(server).subscribe('c', { presence: { state: 'old' } })
    await expect.poll(() => subscribed(server.connections[0])).toHaveLength(1)
    await subscription.setState('new')
    accept({ id: 1, type: 'subscribe', channel: 'c' }, server.last)
    await subscription.ready()
    await settled()
    expect(server.last.received.at(-1)).toMatchObject({ type: 'presence', subscription: 's1', state: 'new' })
  })

  test('a state that the server refuses is told', async () => {
    const server = accepting()
    const subscription = open(server).subscribe('c', { presence: {} })
    await subscription.ready()
    server.answer = ({ id }, connection) =>
      connection.send({ id, type: 'error', code: 'state_too_large', message: 'too large', retry: false })
    await expect(subscription.setState('x')).rejects.toMatchObject({ code: 'state_too_large' })
  })
})

describe('publishing', () => {
  const positions = [{ topic: 't', partition: 0, offset: 5 }]

  test('goes over the open connection', async () => {
    const server = accepting()
    const client = open(server)
    await client.subscribe('c').ready()
    server.answer = ({ id }, connection) => connection.send({ id, type: 'published', positions })
    expect(await client.publish('t', { a: 1 }, { key: '/a' })).toEqual(positions)
    expect(server.last.received.at(-1)).toMatchObject({ type: 'publish', topic: 't', events: [{ a: 1 }], key: '/a' })
  })

  test('that the server refuses rejects with its code', async () => {
    const server = accepting()
    const client = open(server)
    await client.subscribe('c').ready()
    server.answer = ({ id }, connection) =>
      connection.send({ id, type: 'error', code: 'topic_not_found', message: 'no', retry: false })
    await expect(client.publish('t', 1)).rejects.toMatchObject({ code: 'topic_not_found' })
  })

  test('is unsure when the connection breaks before the answer', async () => {
    const server = accepting()
    const client = open(server)
    await client.subscribe('c').ready()
    server.answer = (_message, connection) => connection.break()
    await expect(client.publish('t', 1)).rejects.toMatchObject({ code: 'unacknowledged' })
  })

  test('is as unsure over HTTP', async () => {
    const fetch = async () => {
      throw new TypeError('fetch failed')
    }
    const client = open(accepting(), { fetch })
    await expect(client.publish('t', 1)).rejects.toMatchObject({ code: 'unacknowledged' })
    await expect(client.query('SELECT 1')).rejects.toMatchObject({ code: 'unreachable' })
  })

  test('of much goes over HTTP, for a frame that is too large would end the connection', async () => {
    const server = accepting()
    const posted: unknown[] = []
    const fetch: typeof globalThis.fetch = async (_url, init) => {
      posted.push(init?.body)
      return Response.json({ positions })
    }
    const client = open(server, { fetch })
    await client.subscribe('c').ready()
    expect(await client.publish('t', ['x'.repeat(100_000)])).toEqual(positions)
    expect(posted).toHaveLength(1)
    expect(server.last.received).toHaveLength(1)
  })

  test('is given up when the signal fires', async () => {
    const server = accepting()
    const client = open(server)
    await client.subscribe('c').ready()
    const stopping = new AbortController()
    const publishing = client.publish('t', 1, { signal: stopping.signal })
    stopping.abort(new Error('enough'))
    await expect(publishing).rejects.toThrow('enough')
  })
})

describe('a token', () => {
  /** Takes the tokens that the test says, for so long. */
  function guarded(takes: (token: string) => boolean, lifeMs: number | null = null): FakeServer {
    const server = new FakeServer()
    server.answer = (message, connection) => {
      if (message.type !== 'authenticate') return accept(message, connection)
      const { id, token } = message
      if (takes(token)) {
        const expires = lifeMs === null ? null : Date.now() + lifeMs
        return connection.send({ id, type: 'authenticated', user: 'u', expires })
      }
      connection.send({ id, type: 'error', code: 'unauthenticated', message: 'not valid', retry: false })
    }
    return server
  }

  test('is asked for when it is needed, once for all, and never in an address', async () => {
    const server = guarded((token) => token === 't1')
    let asked = 0
    const seen: (string | null)[] = []
    const client = open(server, {
      token: async () => `t${++asked}`,
      fetch: async (_url, init) => {
        seen.push(new Headers(init?.headers).get('authorization'))
        return Response.json({ columns: [], rows: [] })
      },
    })
    expect(asked).toBe(0)
    await Promise.all([client.subscribe('a').ready(), client.subscribe('b').ready(), client.query('SELECT 1')])
    expect(asked).toBe(1)
    expect(seen).toEqual(['Bearer t1'])
    expect(server.last.url).not.toContain('t1')
  })

  test('is renewed over the open connection before it expires', async () => {
    vi.useFakeTimers()
    const server = guarded(() => true, 40_000)
    let asked = 0
    open(server, { token: () => `t${++asked}` }).subscribe('c')
    await settled()
    await vi.advanceTimersByTimeAsync(29_000)
    expect(server.connections.flatMap(tokensOf)).toEqual(['t1'])
    await vi.advanceTimersByTimeAsync(6_000)
    expect(server.connections.map(tokensOf)).toEqual([['t1', 't2']])
  })

  test('that cannot be renewed at once is tried again, and the connection stays', async () => {
    vi.useFakeTimers()
    const server = guarded(() => true, 20_000)
    let asked = 0
    const token = () => {
      asked++
      if (asked === 2) throw new Error('the login server is away')
      return `t${asked}`
    }
    open(server, { token }).subscribe('c')
    await settled()
    await vi.advanceTimersByTimeAsync(18_000)
    expect(server.connections).toHaveLength(1)
    expect(tokensOf(server.last)).toEqual(['t1', 't3'])
  })

  test('that the server refuses is asked for once more, then the subscriptions end', async () => {
    let asked = 0
    const once = guarded((token) => token === 't2')
    await open(once, { token: () => `t${++asked}` })
      .subscribe('c')
      .ready()
    expect(asked).toBe(2)
    const never = guarded(() => false)
    const client = open(never, { token: () => `t${++asked}` })
    await expect(client.subscribe('c').ready()).rejects.toMatchObject({ status: closeCodes.unauthenticated })
    expect(asked).toBe(4)
    expect(client.state).toBe('idle')
  })

  test('that has expired is replaced, and the subscription goes on', async () => {
    const server = guarded(() => true)
    let asked = 0
    const subscription = open(server, { token: () => `t${++asked}` }).subscribe('c')
    await subscription.ready()
    server.last.send(events('s2', 3))
    await settled()
    server.last.break(closeCodes.tokenExpired)
    await expect.poll(() => server.connections.length).toBe(2)
    await expect.poll(() => tokensOf(server.last)).toEqual(['t2'])
    await expect.poll(() => subscribed(server.last)[0]).toMatchObject({ since: { epoch: 'e', offset: 3 } })
  })

  test('of another user has its own connection', async () => {
    vi.useFakeTimers()
    const server = guarded(() => true, 10_000)
    let asked = 0
    open(server, { token: () => `t${++asked}` }).subscribe('c')
    await settled()
    const before = server.answer
    server.answer = (message, connection) => {
      if (message.type !== 'authenticate' || connection !== server.connections[0]) return before(message, connection)
      connection.send({ id: message.id, type: 'error', code: 'other_user', message: 'other', retry: false })
    }
    await vi.advanceTimersByTimeAsync(9_000)
    expect(server.connections).toHaveLength(2)
    expect(tokensOf(server.last)).toEqual(['t2'])
  })

  test('that seems to have expired when it comes, since the clock is wrong, is not asked for over and over', async () => {
    vi.useFakeTimers()
    const server = guarded(() => true, -60_000)
    let asked = 0
    const client = open(server, { token: () => `t${++asked}` })
    client.subscribe('c')
    const beat = setInterval(() => server.last.send({ type: 'heartbeat', offsets: {} }), heartbeatMs)
    await vi.advanceTimersByTimeAsync(600_000)
    clearInterval(beat)
    expect(asked).toBeLessThan(20)
    expect(client.state).toBe('open')
    expect(server.connections).toHaveLength(1)
  })

  test('that cannot be judged now is shown again, over a WebSocket', async () => {
    const server = guarded(() => true)
    const judge = server.answer
    let times = 0
    server.answer = (message, connection) => {
      if (message.type !== 'authenticate' || ++times > 3) return judge(message, connection)
      connection.send({ id: message.id, type: 'error', code: 'keys_unavailable', message: 'later', retry: true })
    }
    const fetch = async () => new Response('')
    await open(server, { token: 't', transport: 'auto', fetch }).subscribe('c').ready()
    expect(server.connections).toHaveLength(4)
  })

  test('that is empty is none', async () => {
    const client = open(
      guarded(() => true),
      { token: async () => '' },
    )
    await expect(client.subscribe('c').ready()).rejects.toMatchObject({ code: 'unauthenticated' })
  })

  test('that cannot be had now is asked for again', async () => {
    let asked = 0
    const token = async () => {
      if (++asked === 1) throw new Error('the login server is away')
      return 't'
    }
    const reasons: unknown[] = []
    const client = open(
      guarded(() => true),
      { token },
    )
    client.onState((state, reason) => reasons.push([state, reason]))
    await client.subscribe('c').ready()
    expect(reasons).toEqual([
      ['connecting', undefined],
      ['waiting', 'the login server is away'],
      ['connecting', undefined],
      ['open', undefined],
    ])
  })

  test('that a call was refused with is replaced once', async () => {
    let asked = 0
    const seen: (string | null)[] = []
    const fetch: typeof globalThis.fetch = async (_url, init) => {
      const given = new Headers(init?.headers).get('authorization')
      seen.push(given)
      if (given !== 'Bearer t2') return Response.json({ code: 'unauthenticated', detail: 'no' }, { status: 401 })
      return Response.json({ columns: [], rows: [] })
    }
    const client = open(accepting(), { token: () => `t${++asked}`, fetch })
    await client.query('SELECT 1')
    await client.query('SELECT 1')
    expect(seen).toEqual(['Bearer t1', 'Bearer t2', 'Bearer t2'])
    const refused = open(accepting(), { token: () => 'wrong', fetch })
    await expect(refused.query('SELECT 1')).rejects.toMatchObject({ status: 401, code: 'unauthenticated' })
  })
})

describe('without a network', () => {
  class FakePlatform extends EventTarget {
    readonly navigator = { onLine: true }

    constructor() {
      super()
      vi.stubGlobal('navigator', this.navigator)
      vi.stubGlobal('addEventListener', this.addEventListener.bind(this))
      vi.stubGlobal('removeEventListener', this.removeEventListener.bind(this))
    }

    become(onLine: boolean): void {
      this.navigator.onLine = onLine
      this.dispatchEvent(new Event(onLine ? 'online' : 'offline'))
    }
  }

  test('nothing is attempted; at once when there is one again', async () => {
    vi.useFakeTimers()
    const platform = new FakePlatform()
    const server = accepting()
    const client = open(server)
    client.subscribe('c')
    await settled()
    platform.become(false)
    server.last.break()
    await settled()
    expect(client.state).toBe('offline')
    await vi.advanceTimersByTimeAsync(60_000)
    expect(server.connections).toHaveLength(1)
    platform.become(true)
    await settled()
    expect(client.state).toBe('open')
    expect(server.connections).toHaveLength(2)
  })

  test('a connection that still answers is kept', async () => {
    vi.useFakeTimers()
    const platform = new FakePlatform()
    const server = accepting()
    const client = open(server)
    client.subscribe('c')
    await settled()
    server.answer = ({ id }, connection) =>
      connection.send({ id, type: 'error', code: 'subscription_not_found', message: '…', retry: false })
    await vi.advanceTimersByTimeAsync(10)
    platform.become(false)
    await vi.advanceTimersByTimeAsync(10_000)
    expect(client.state).toBe('open')
    expect(server.connections).toHaveLength(1)
  })

  test('a connection that gives no sign of life is broken off', async () => {
    vi.useFakeTimers()
    const platform = new FakePlatform()
    const server = accepting()
    const client = open(server)
    client.subscribe('c')
    await settled()
    server.answer = () => undefined
    await vi.advanceTimersByTimeAsync(10)
    platform.become(false)
    await vi.advanceTimersByTimeAsync(6_000)
    expect(client.state).toBe('offline')
  })

  test('while it waits for its next attempt, it goes offline and comes back at once', async () => {
    vi.useFakeTimers()
    const platform = new FakePlatform()
    const server = accepting()
    server.down.add('http://a')
    const client = open(server)
    client.subscribe('c')
    await settled()
    expect(client.state).toBe('waiting')
    platform.become(false)
    expect(client.state).toBe('offline')
    server.down.clear()
    await vi.advanceTimersByTimeAsync(60_000)
    expect(server.connections).toHaveLength(0)
    platform.become(true)
    await settled()
    expect(client.state).toBe('open')
  })

  test('a machine that has slept looks after its connection at once', async () => {
    vi.useFakeTimers()
    const server = accepting()
    const client = open(server)
    client.subscribe('c')
    await settled()
    server.answer = () => undefined
    vi.setSystemTime(Date.now() + 30_000)
    // The next look, and as long as a sign of life may take.
    await vi.advanceTimersByTimeAsync(10_100)
    server.answer = accept
    await vi.advanceTimersByTimeAsync(400)
    expect(server.connections).toHaveLength(2)
    expect(client.state).toBe('open')
    expect(vi.getTimerCount()).toBeGreaterThan(0)
    client.close()
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('several addresses', () => {
  test('the next is tried after a failure, and goes on where the other ended', async () => {
    const server = accepting()
    const subscription = open(server, { address: ['http://a', 'http://b'] }).subscribe('c')
    await subscription.ready()
    const first = server.last.url
    server.last.send(events('s1', 0, 1, 2))
    await settled()
    server.down.add(first.replace('ws', 'http').replace('/v1/live', ''))
    server.last.break()
    await expect.poll(() => server.open.length).toBe(1)
    expect(server.last.url).not.toBe(first)
    await expect.poll(() => subscribed(server.last)[0]).toMatchObject({ since: { epoch: 'e', offset: 2 } })
  })

  test('different clients begin with different ones', async () => {
    const server = accepting()
    await Promise.all(
      Array.from({ length: 40 }, () =>
        open(server, { address: ['http://a', 'http://b'] })
          .subscribe('c')
          .ready(),
      ),
    )
    expect(new Set(server.connections.map(({ url }) => url))).toEqual(new Set(['ws://a/v1/live', 'ws://b/v1/live']))
  })

  test('calls that change nothing are asked of the next one, a publication is not repeated', async () => {
    const asked: string[] = []
    const fetch: typeof globalThis.fetch = async (url) => {
      asked.push(String(url))
      if (String(url).startsWith('http://a')) throw new TypeError('fetch failed')
      return Response.json({ columns: [], rows: [], positions: [] })
    }
    for (let attempt = 0; attempt < 20; attempt++) {
      await open(accepting(), { address: ['http://a', 'http://b'], fetch }).query('SELECT 1')
    }
    expect(asked.filter((url) => url.startsWith('http://b'))).toHaveLength(20)
    asked.length = 0
    const clients = Array.from({ length: 20 }, () => open(accepting(), { address: ['http://a', 'http://b'], fetch }))
    const outcomes = await Promise.allSettled(clients.map((client) => client.publish('t', 1)))
    expect(asked).toHaveLength(20)
    expect(new Set(outcomes.map(({ status }) => status))).toEqual(new Set(['fulfilled', 'rejected']))
  })

  test('none is a mistake', () => {
    expect(() => connect([])).toThrow('address')
  })

  test('one that cannot be is told at once', async () => {
    const WebSocket = class {
      constructor(url: string) {
        throw new SyntaxError(`no address: ${url}`)
      }
      send(): void {}
      close(): void {}
      addEventListener(): void {}
    }
    const client = connect('nowhere', { WebSocket })
    await expect(client.subscribe('c').ready()).rejects.toMatchObject({ code: 'cannot_connect' })
    expect(client.state).toBe('idle')
  })
})
