import { expect, onTestFinished, test } from 'vitest'
import type { LiveEvent } from '../../src/core/live-log.ts'
import { closeCodes } from '../../src/live/protocol.ts'
import { DirectClient, principal, type Scene, scene } from './direct-client.ts'
import { MemoryLiveLog } from './memory-live-log.ts'

async function append({ log }: Scene, ...values: LiveEvent['value'][]): Promise<void> {
  const events = values.map((value, index) => ({ id: `${index}`, key: null, value, timestamp: 1 }))
  await log.append('c', 'lane', events, [])
}

test('what the principal may not is refused by name, and all of it is written down', async () => {
  await using world = scene()
  const client = new DirectClient(world.live, principal({ may: ['c'] }), '10.0.0.9')
  expect(await client.ask({ id: 1, type: 'subscribe', channel: 'd' })).toMatchObject({
    type: 'error',
    code: 'forbidden',
    message: '"ann" may not subscribe to "d". server.access says who may do what.',
    retry: false,
  })
  expect(await client.ask({ id: 2, type: 'publish', topic: 'd', events: [1] })).toMatchObject({ code: 'forbidden' })
  expect(await client.ask({ id: 3, type: 'subscribe', channel: 'c' })).toMatchObject({ type: 'subscribed' })
  expect(await client.ask({ id: 4, type: 'publish', topic: 'c', events: [7] })).toMatchObject({ type: 'published' })
  expect(world.published).toEqual([7])
  const ann = { principal: 'ann', address: '10.0.0.9' }
  expect(world.audit).toEqual([
    { ...ann, action: 'subscribe', name: 'd', outcome: 'refused', code: 'forbidden' },
    { ...ann, action: 'publish', name: 'd', outcome: 'refused', code: 'forbidden' },
    { ...ann, action: 'subscribe', name: 'c', outcome: 'allowed' },
    { ...ann, action: 'publish', name: 'c', outcome: 'allowed' },
  ])
})

test('requests that are sent right behind a token wait for it', async () => {
  await using world = scene()
  world.tokens.set('t', principal({}))
  const client = new DirectClient(world.live, null)
  const authenticated = client.ask({ id: 1, type: 'authenticate', token: 't' })
  const subscribed = client.ask({ id: 2, type: 'subscribe', channel: 'c' })
  expect(await authenticated).toEqual({ id: 1, type: 'authenticated', expires: null, user: 'ann' })
  expect(await subscribed).toMatchObject({ type: 'subscribed' })
})

test('a wrong token ends a session that never had one, and no other', async () => {
  await using world = scene()
  const stranger = new DirectClient(world.live, null, '10.0.0.9')
  expect(await stranger.ask({ id: 1, type: 'authenticate', token: 'forged' })).toMatchObject({ code: 'token_forged' })
  expect(stranger.closed).toMatchObject({ code: closeCodes.unauthenticated })
  const known = new DirectClient(world.live, principal({}))
  await known.ask({ id: 1, type: 'subscribe', channel: 'c' })
  expect(await known.ask({ id: 2, type: 'authenticate', token: 'forged' })).toMatchObject({ code: 'token_forged' })
  await append(world, 5)
  expect(await known.ofType('events')).toMatchObject({ events: [{ value: 5 }] })
  const refused = { action: 'authenticate', outcome: 'refused', code: 'token_forged' }
  expect(world.audit).toMatchObject([{ ...refused, principal: null }, { action: 'subscribe' }, { ...refused }])
})

test('those who show no token leave places to those who do', async () => {
  await using world = scene({ sessions: 8 })
  world.tokens.set('ann', principal({}))
  const [first, second, third] = [1, 2, 3].map(() => new DirectClient(world.live, null))
  expect(third?.closed).toMatchObject({ code: closeCodes.overloaded, reason: 'too many sessions without a token' })
  expect(new DirectClient(world.live, principal({})).closed).toBeUndefined()
  await first?.ask({ id: 1, type: 'authenticate', token: 'ann' })
  expect(new DirectClient(world.live, null).closed).toBeUndefined()
  expect(new DirectClient(world.live, null).closed).toMatchObject({ code: closeCodes.overloaded })
  second?.session.disconnected()
  expect(new DirectClient(world.live, null).closed).toBeUndefined()
})

test('another user is refused where someone has subscriptions', async () => {
  await using world = scene()
  world.tokens.set('bob', principal({ id: 'bob', may: ['c', 'd'] }))
  const client = new DirectClient(world.live, principal({ id: 'ann' }))
  await client.ask({ id: 1, type: 'subscribe', channel: 'c' })
  expect(await client.ask({ id: 2, type: 'authenticate', token: 'bob' })).toMatchObject({ code: 'other_user' })
  expect(await client.ask({ id: 3, type: 'subscribe', channel: 'd' })).toMatchObject({ code: 'forbidden' })
  await client.ask({ id: 4, type: 'unsubscribe', subscription: 's1' })
  expect(await client.ask({ id: 5, type: 'authenticate', token: 'bob' })).toMatchObject({ user: 'bob' })
  expect(await client.ask({ id: 6, type: 'subscribe', channel: 'd' })).toMatchObject({ type: 'subscribed' })
})

test('a session ends with its token, unless another has been shown by then', async () => {
  await using world = scene()
  const soon = Date.now() + 150
  world.tokens.set('longer', principal({ expires: soon + 200 }))
  const first = new DirectClient(world.live, principal({ expires: soon }))
  const second = new DirectClient(world.live, principal({ expires: soon }))
  expect(await second.ask({ id: 1, type: 'authenticate', token: 'longer' })).toMatchObject({ expires: soon + 200 })
  expect(await first.whenClosed()).toMatchObject({ code: closeCodes.tokenExpired })
  expect(Date.now()).toBeGreaterThanOrEqual(soon)
  expect(second.closed).toBeUndefined()
  expect(await second.whenClosed()).toMatchObject({ code: closeCodes.tokenExpired })
  expect(Date.now()).toBeGreaterThanOrEqual(soon + 200)
})

test('a token that holds for longer than a timer can is waited for all the same', async () => {
  const warnings: string[] = []
  const note = ({ name }: Error) => warnings.push(name)
  process.on('warning', note)
  onTestFinished(() => void process.off('warning', note))
  await using world = scene()
  const client = new DirectClient(world.live, principal({ expires: Date.now() + 2 ** 40 }))
  await new Promise((resolve) => setTimeout(resolve, 30))
  expect(await client.ask({ id: 1, type: 'subscribe', channel: 'c' })).toMatchObject({ type: 'subscribed' })
  // Node would fire such a timer every millisecond.
  expect(warnings).toEqual([])
})

test('after another token, subscriptions end that it does not allow, or not in the same form', async () => {
  await using world = scene()
  const may = ['c', 'd', 'e']
  const filtered = { ...principal({ may }), rows: (_: string, name: string) => (name === 'e' ? [{ a: 1 }] : undefined) }
  world.tokens.set('less', { ...filtered, may: (_, name) => name !== 'd' })
  const client = new DirectClient(world.live, principal({ may }))
  for (const [id, channel] of may.entries()) await client.ask({ id, type: 'subscribe', channel })
  expect(await client.ask({ id: 7, type: 'authenticate', token: 'less' })).toMatchObject({ type: 'authenticated' })
  expect(client.received).toEqual([
    { type: 'ended', subscription: 's2', code: 'forbidden', message: expect.stringContaining('"d"'), retry: false },
    { type: 'ended', subscription: 's3', code: 'rows_changed', message: expect.stringContaining('"e"'), retry: true },
  ])
  await append(world, 5)
  expect(await client.ofType('events')).toMatchObject({ subscription: 's1' })
})

test('a subscription that was being opened with the token before is not let through', async () => {
  let open: () => void = () => undefined
  const opening = new Promise<void>((resolve) => {
    open = resolve
  })
  class SlowLog extends MemoryLiveLog {
    override async head(channel: string) {
      await opening
      return super.head(channel)
    }
  }
  await using world = scene({}, new SlowLog())
  world.tokens.set('none', principal({ may: [] }))
  world.tokens.set('rows', principal({ may: ['d'], rows: [{ a: 1 }] }))
  const [one, two] = [
    new DirectClient(world.live, principal({})),
    new DirectClient(world.live, principal({ may: ['d'] })),
  ]
  const refused = one.ask({ id: 1, type: 'subscribe', channel: 'c' })
  const changed = two.ask({ id: 1, type: 'subscribe', channel: 'd' })
  await one.ask({ id: 2, type: 'authenticate', token: 'none' })
  await two.ask({ id: 2, type: 'authenticate', token: 'rows' })
  open()
  expect(await refused).toMatchObject({ code: 'forbidden', retry: false })
  expect(await changed).toMatchObject({ code: 'rows_changed', retry: true })
})

test('whenever another token is shown while a subscription is being opened, it is not let through', async () => {
  for (let turns = 0; turns < 40; turns++) {
    let open: () => void = () => undefined
    const opening = new Promise<void>((resolve) => {
      open = resolve
    })
    class SlowLog extends MemoryLiveLog {
      override async head(channel: string) {
        await opening
        return super.head(channel)
      }
    }
    await using world = scene({}, new SlowLog())
    world.tokens.set('none', principal({ may: [] }))
    const client = new DirectClient(world.live, principal({}))
    client.session.receive('{"id":1,"type":"subscribe","channel":"c"}')
    await new Promise((resolve) => setImmediate(resolve))
    open()
    for (let turn = 0; turn < turns; turn++) await Promise.resolve()
    await client.ask({ id: 2, type: 'authenticate', token: 'none' })
    const { type } = await client.next(({ id }) => id === 1)
    if (type === 'subscribed') expect(client.received).toMatchObject([{ type: 'ended', code: 'forbidden' }])
    else expect(type).toBe('error')
  }
})

test('the smallest free id is given again, and nothing of the one before comes under it', async () => {
  await using world = scene()
  await append(world, ...Array.from({ length: 2_000 }, (_, index) => index))
  const client = new DirectClient(world.live)
  expect(await client.ask({ id: 1, type: 'subscribe', channel: 'c', since: { last: 2_000 } })).toMatchObject({
    subscription: 's1',
  })
  client.session.receive('{"id":2,"type":"unsubscribe","subscription":"s1"}')
  client.session.receive('{"id":3,"type":"subscribe","channel":"quiet"}')
  expect(await client.next(({ id }) => id === 3)).toMatchObject({ subscription: 's1' })
  expect(await client.ask({ id: 4, type: 'subscribe', channel: 'quiet' })).toMatchObject({ subscription: 's2' })
  await client.next(({ id }) => id === 2)
  client.received.length = 0
  await new Promise((resolve) => setTimeout(resolve, 30))
  expect(client.received).toEqual([])
})

test('too many requests are refused for a while, and far too many end the session', async () => {
  await using world = scene({ requestsPerSecond: 10 })
  const client = new DirectClient(world.live)
  for (let id = 1; id <= 15; id++)
    client.session.receive(JSON.stringify({ id, type: 'unsubscribe', subscription: 'x' }))
  expect(await client.next(({ id }) => id === 10)).toMatchObject({ code: 'subscription_not_found' })
  expect(await client.next(({ id }) => id === 15)).toMatchObject({ code: 'rate_limited', retry: true })
  for (let id = 16; id <= 40; id++)
    client.session.receive(JSON.stringify({ id, type: 'unsubscribe', subscription: 'x' }))
  expect(client.closed).toMatchObject({ code: closeCodes.tooManyRequests })
  expect(await client.ofType('reconnect')).toMatchObject({ after: expect.any(Number) })
})

test('a session that has nothing and asks for nothing is closed; one with a subscription is not', async () => {
  await using world = scene({ idleMs: 60, heartbeatMs: 20 })
  const idle = new DirectClient(world.live)
  const quiet = new DirectClient(world.live)
  await quiet.ask({ id: 1, type: 'subscribe', channel: 'c' })
  expect(await idle.whenClosed()).toMatchObject({ code: closeCodes.idle })
  expect(quiet.closed).toBeUndefined()
})

test('one address has its share of sessions; the others are told when to come back', async () => {
  await using world = scene({ sessionsPerAddress: 2 })
  const open = (address: string) => new DirectClient(world.live, null, address)
  const [first, second, third] = [open('a'), open('a'), open('a')]
  expect(third.closed).toMatchObject({ code: closeCodes.overloaded })
  expect(third.received).toMatchObject([{ type: 'reconnect' }])
  expect([first.closed, second.closed, open('b').closed]).toEqual([undefined, undefined, undefined])
  first.session.disconnected()
  expect(open('a').closed).toBeUndefined()
  expect(open('a').closed).toMatchObject({ code: closeCodes.overloaded })
})

test('when the server closes, its clients are told different times to come back', async () => {
  const world = scene()
  const clients = Array.from({ length: 1_000 }, () => new DirectClient(world.live))
  await world.live.close()
  const after = clients.map(({ received }) => Number(received[0]?.after))
  expect(clients.every(({ closed }) => closed?.code === closeCodes.goingAway)).toBe(true)
  expect(new Set(after).size).toBeGreaterThan(300)
  expect(Math.min(...after)).toBeGreaterThanOrEqual(0)
  expect(Math.max(...after)).toBeLessThanOrEqual(1_000)
})

test('one session’s texts are embedded a few at a time, and those of one that is gone are not', async () => {
  await using world = scene({ embeddings: 2 })
  let running = 0
  let most = 0
  let embedded = 0
  const release: (() => void)[] = []
  world.embedder.embed = async (texts) => {
    most = Math.max(most, ++running)
    await new Promise<void>((resolve) => release.push(resolve))
    running--
    embedded++
    return texts.map(() => Float32Array.of(1, 0))
  }
  const greedy = new DirectClient(world.live)
  for (let id = 1; id <= 20; id++) {
    const similar = { text: `text ${id}` }
    greedy.session.receive(JSON.stringify({ id, type: 'subscribe', channel: 'c', similar }))
  }
  await expect.poll(() => release.length).toBe(2)
  const modest = new DirectClient(world.live)
  const answered = modest.ask({ id: 1, type: 'subscribe', channel: 'c', similar: { text: 'mine' } })
  await expect.poll(() => release.length).toBe(3)
  greedy.session.disconnected()
  for (const resolve of release) resolve()
  expect(await answered).toMatchObject({ type: 'subscribed' })
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect({ most, embedded }).toEqual({ most: 3, embedded: 3 })
})

test('so many texts stand and no more; one that stands already may be shared', async () => {
  await using world = scene({ standingQueries: 2 })
  const client = new DirectClient(world.live)
  const ask = (id: number, channel: string, text: string) =>
    client.ask({ id, type: 'subscribe', channel, similar: { text } })
  expect(await ask(1, 'c', 'one')).toMatchObject({ type: 'subscribed' })
  expect(await ask(2, 'd', 'two')).toMatchObject({ type: 'subscribed' })
  expect(await ask(3, 'c', 'three')).toMatchObject({ code: 'too_many_queries', retry: true })
  expect(await ask(4, 'c', 'one')).toMatchObject({ type: 'subscribed' })
  await client.ask({ id: 5, type: 'unsubscribe', subscription: 's2' })
  await expect.poll(() => ask(6, 'c', 'three')).toMatchObject({ type: 'subscribed' })
})
