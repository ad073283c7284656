import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { LiveEvent } from '../../src/core/live-log.ts'
import type { Principal, RowFilter } from '../../src/core/principal.ts'
import { DirectClient, principal, type Scene, scene } from './direct-client.ts'

type Value = LiveEvent['value']
async function append({ log }: Scene, ...events: (readonly [id: string, value: Value])[]): Promise<void> {
  const live = events.map(([id, value]) => ({ id, key: id, value, timestamp: 1 }))
  await log.append('c', 'lane', live, [])
}
function tenant(name: string): Principal {
  return principal({ id: name, rows: [{ tenant: name }] })
}
async function subscribed(world: Scene, who: Principal, options: Record<string, unknown> = {}): Promise<DirectClient> {
  const client = new DirectClient(world.live, who)
  expect(await client.ask({ id: 1, type: 'subscribe', channel: 'c', ...options })).toMatchObject({ type: 'subscribed' })
  return client
}
/** What a client has come by, once the channel has handed out all there is. */
async function seen(world: Scene, clients: readonly DirectClient[]): Promise<[string, Value][][]> {
  const all = new DirectClient(world.live)
  await all.ask({ id: 1, type: 'subscribe', channel: 'c' })
  await append(world, ['the end', { end: true }])
  await all.ofType('events')
  await new Promise((resolve) => setTimeout(resolve, 10))
  return clients.map(({ events }) => events.filter(({ id }) => id !== 'the end').map(({ id, value }) => [id, value]))
}

test('a tenant sees its own events: live, in history and when it catches up', async () => {
  await using world = scene()
  await append(world, ['1', { tenant: 'a' }], ['2', { tenant: 'b' }], ['3', 'no object'], ['4', { tenant: ['a'] }])
  const { epoch } = await world.log.head('c')
  const clients = await Promise.all([
    subscribed(world, tenant('a')),
    subscribed(world, tenant('a'), { since: { last: 5 } }),
    subscribed(world, tenant('b'), { since: { epoch, offset: -1 } }),
    subscribed(world, tenant('b'), { since: { time: 0 }, filter: 'true' }),
    subscribed(world, tenant('c'), { since: { last: 5 } }),
  ])
  await append(world, ['5', { tenant: 'b', n: 1 }], ['6', { tenant: 'a', n: 2 }])
  const ids = (await seen(world, clients)).map((events) => events.map(([id]) => id))
  expect(ids).toEqual([['6'], ['1', '6'], ['2', '5'], ['2', '5'], []])
})

test.each<[RowFilter, unknown, boolean]>([
  [[{ 'customer.id': 7 }], { customer: { id: 7 } }, true],
  [[{ 'customer.id': 7 }], { customer: { id: '7' } }, false],
  [[{ 'customer.id': 7 }], { 'customer.id': 7 }, false],
  [[{ 'customer.id': 7 }], { customer: null }, false],
  [[{ a: 1, b: true }], { a: 1, b: true, c: 3 }, true],
  [[{ a: 1, b: true }], { a: 1 }, false],
  [[{ a: 1 }, { a: 2 }], { a: 2 }, true],
  [[{ constructor: 'Object' }], { a: 1 }, false],
  [[{ 'tenant.length': 1 }], { tenant: 'a' }, false],
  [[{ __proto__x: 1 }], JSON.parse('{"__proto__":{"x":1}}'), false],
])('%j of %j: %s', async (rows, value, expected) => {
  await using world = scene()
  const client = await subscribed(world, principal({ rows }))
  await append(world, ['1', JSON.parse(JSON.stringify(value))])
  expect((await seen(world, [client]))[0]?.length).toBe(expected ? 1 : 0)
})

describe('retractions', () => {
  test('reach those who could see what they retract', async () => {
    await using world = scene()
    await append(world, ['before', { tenant: 'a' }])
    const clients = [await subscribed(world, tenant('a')), await subscribed(world, tenant('b'))]
    await append(world, ['1', { tenant: 'b' }], ['before', null], ['1', null], ['unknown', null])
    const free = await subscribed(world, principal({}), { since: { last: 4 } })
    expect(await seen(world, [...clients, free])).toEqual([
      [['before', null]],
      [
        ['1', { tenant: 'b' }],
        ['1', null],
      ],
      [
        ['1', { tenant: 'b' }],
        ['before', null],
        ['1', null],
        ['unknown', null],
      ],
    ])
  })

  test('of an id that has changed hands reach each who has seen it', async () => {
    await using world = scene()
    const clients = await Promise.all(['a', 'b', 'c'].map((name) => subscribed(world, tenant(name))))
    await append(world, ['1', { tenant: 'a' }], ['1', { tenant: 'b' }], ['1', null])
    const retracted = (await seen(world, clients)).map((events) => events.some(([, value]) => value === null))
    expect(retracted).toEqual([true, true, false])
  })

  test('older than what the channel remembers still come to one that catches up past the event', async () => {
    await using world = scene()
    const others = Array.from({ length: 10_500 }, (_, index) => [`o${index}`, { tenant: 'b' }] as const)
    await append(
      world,
      ['old', { tenant: 'a' }],
      ['theirs', { tenant: 'b' }],
      ...others,
      ['old', null],
      ['theirs', null],
    )
    const past = await subscribed(world, tenant('a'), { since: { time: 0 } })
    const after = await subscribed(world, tenant('a'), { since: { last: 2 } })
    await expect.poll(() => past.events.length).toBe(2)
    expect(past.events.map(({ id, value }) => [id, value])).toEqual([
      ['old', { tenant: 'a' }],
      ['old', null],
    ])
    expect(after.events).toEqual([])
  })

  test('whatever comes in whatever order: each of one’s own events, its retraction, and nothing of another', async () => {
    const step = fc.record({
      id: fc.constantFrom('x', 'y', 'z'),
      tenant: fc.constantFrom('a', 'b', undefined),
      retract: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), fc.nat(20), async (steps, joinAt) => {
        await using world = scene()
        const events = steps.map(
          ({ id, tenant, retract }) => [id, retract ? null : { tenant: tenant ?? null }] as const,
        )
        await append(world, ...events.slice(0, joinAt))
        const client = await subscribed(world, tenant('a'), { since: { time: 0 } })
        await append(world, ...events.slice(joinAt))
        const [received = []] = await seen(world, [client])
        const mine = new Set<string>()
        const due: [string, Value][] = []
        for (const [id, value] of events) {
          if (value?.tenant === 'a') mine.add(id)
          if (value?.tenant === 'a' || (value === null && mine.has(id))) due.push([id, value])
        }
        const withoutEarlier = received.filter(
          ([id, value], index) =>
            value !== null || received.slice(0, index).some(([other, earlier]) => other === id && earlier !== null),
        )
        expect(withoutEarlier).toEqual(due)
        expect(
          received.every(([id, value]) => value !== null || events.some(([i, v]) => i === id && v?.tenant === 'a')),
        ).toBe(true)
      }),
      { numRuns: 40 },
    )
  })
})
