import { afterEach, describe, expect, test } from 'vitest'
import { type Client, type ConnectOptions, connect } from '../../src/client/index.ts'
import { seconds, signBySecret } from '../access/signing.ts'
import { ScriptedAnalytics } from '../live/scripted-analytics.ts'
import { type Harness, type HarnessOptions, json, startServer } from '../server/harness.ts'

const open: (() => unknown)[] = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})
async function server(options: HarnessOptions = {}): Promise<Harness> {
  const harness = await startServer(options)
  open.push(() => harness[Symbol.asyncDispose]())
  return harness
}
function client(harness: Harness, options: ConnectOptions = {}): Client {
  const made = connect(harness.address, options)
  open.push(() => made.close())
  return made
}

test('who is on a channel sees who comes, changes and goes', async () => {
  const harness = await server()
  const ann = client(harness).subscribe('room', { presence: { state: 'here' } })
  const states = () => ann.members?.map(({ state }) => state)
  await expect.poll(states).toEqual(['here'])
  const ben = client(harness)
  const bens = ben.subscribe('room', { presence: { state: 'typing' } })
  await expect.poll(states).toEqual(['here', 'typing'])
  await bens.setState('quiet')
  await expect.poll(states).toEqual(['here', 'quiet'])
  const looks = client(harness).subscribe('room', { presence: { join: false } })
  await expect.poll(() => looks.members?.length).toBe(2)
  ben.close()
  await expect.poll(states).toEqual(['here'])
  await harness.restart()
  await expect.poll(states, { timeout: 5_000 }).toEqual(['here'])
  const statistics = () => client(harness).channel('room')
  await expect.poll(statistics, { timeout: 5_000 }).toMatchObject({ members: 1, subscriptions: 2, events: 0 })
})

test('the rows of a query are kept up to date, also over a restart', async () => {
  const analytics = new ScriptedAnalytics()
  analytics.rows = [{ plan: 'free', n: 1 }]
  const sql = 'SELECT plan, count() AS n FROM t GROUP BY plan ORDER BY plan'
  const harness = await server({ analytics, queries: [{ name: 'plans', sql, params: {}, tables: ['t'] }] })
  const made = client(harness)
  const query = made.liveQuery<{ plan: string; n: number }>('plans')
  const told: unknown[] = []
  query.on('rows', (rows) => told.push(rows))
  await query.ready()
  analytics.rows = [
    { plan: 'free', n: 2 },
    { plan: 'team', n: 1 },
  ]
  analytics.changed()
  await expect.poll(() => query.rows).toEqual(analytics.rows)
  expect(told).toHaveLength(2)
  analytics.rows = [{ plan: 'max', n: 9 }]
  await harness.restart()
  await expect.poll(() => query.rows, { timeout: 5_000 }).toEqual(analytics.rows)
  expect((await made.runQuery<{ plan: string }>('plans')).rows).toEqual(analytics.rows)
  await expect(made.liveQuery('plan').ready()).rejects.toMatchObject({ code: 'query_not_found' })
})

test('what is published over the connection is taken, or refused with a reason', async () => {
  const harness = await server()
  await harness.fetch('/v1/topics', json({ name: 'tickets', partitions: 1 }))
  const made = client(harness)
  await made.subscribe('numbers').ready()
  expect(await made.publish('tickets', [{ id: 'a' }, { id: 'b' }], { key: '/id' })).toEqual([
    { topic: 'tickets', partition: 0, offset: 0 },
    { topic: 'tickets', partition: 0, offset: 1 },
  ])
  await expect(made.publish('absent', 1)).rejects.toMatchObject({ code: 'topic_not_found' })
  const large = 'x'.repeat(900_000)
  expect(await made.publish('tickets', large)).toHaveLength(1)
  expect(made.state).toBe('open')
})

describe('tokens that expire', () => {
  const secret = 'a secret of 64 bytes and more, for every one of the algorithms that sign by a secret'
  const access = {
    jwt: { secret, clockTolerance: 0 },
    access: [{ subscribe: ['*'], query: ['*'], publish: ['*'] }],
  }
  /** Of so many seconds; `asked` counts them. */
  function issuer(life: number, claims: object = {}) {
    const issued = { asked: 0, token: () => signBySecret(secret, { exp: seconds() + life, ...claims }) }
    return {
      issued,
      token: () => {
        issued.asked++
        return issued.token()
      },
    }
  }

  test('are renewed, and nothing is noticed', async () => {
    const harness = await server({ access })
    const { issued, token } = issuer(3)
    const made = client(harness, { token })
    const states: string[] = []
    made.onState((state) => states.push(state))
    const subscription = made.subscribe('numbers')
    const seen: unknown[] = []
    subscription.on('event', ({ value }) => seen.push(value))
    await subscription.ready()
    for (let count = 0; count < 14; count++) {
      const event = { id: `${count}`, key: null, value: count, timestamp: 1 }
      await harness.liveLog.append('numbers', 'lane', [event], [count])
      await new Promise((resolve) => setTimeout(resolve, 500))
    }
    expect(issued.asked).toBeGreaterThan(2)
    await expect.poll(() => seen).toEqual(Array.from({ length: 14 }, (_, index) => index))
    expect(states).toEqual(['connecting', 'open'])
  }, 20_000)

  test('that cannot be renewed in time close the connection, which goes on with the next', async () => {
    const harness = await server({ access })
    const { issued, token } = issuer(2)
    const made = client(harness, { token })
    const states: string[] = []
    made.onState((state) => states.push(state))
    const subscription = made.subscribe('numbers')
    await subscription.ready()
    const good = issued.token
    issued.token = async () => {
      throw new Error('the login server is away')
    }
    await expect.poll(() => made.state, { timeout: 5_000 }).toBe('waiting')
    issued.token = good
    await expect.poll(() => made.state, { timeout: 5_000 }).toBe('open')
    expect(subscription.closed).toBe(false)
    expect(states.slice(0, 3)).toEqual(['connecting', 'open', 'connecting'])
  }, 20_000)

  test('of someone who may not are the end', async () => {
    const harness = await server({ access: { ...access, access: [{ subscribe: ['mine'] }] } })
    const { token } = issuer(100)
    const made = client(harness, { token })
    await made.subscribe('mine').ready()
    await expect(made.subscribe('yours').ready()).rejects.toMatchObject({ code: 'forbidden' })
    await expect(made.query('SELECT 1')).rejects.toMatchObject({ status: 403 })
    const forged = client(harness, { token: async () => 'forged' })
    await expect(forged.subscribe('mine').ready()).rejects.toMatchObject({ status: 4501 })
    await expect(forged.query('SELECT 1')).rejects.toMatchObject({ status: 401 })
  })
})
