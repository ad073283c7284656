import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LastValues, mergePatch } from '../../src/client/deltas.ts'
import { connect } from '../../src/client/index.ts'
import { type ClientMessage, deltaKeys, type EventFrame, type JsonValue } from '../../src/live/protocol.ts'
import { type FakeConnection, FakeServer } from './fake-server.ts'

type Fields = { readonly [name: string]: JsonValue }

describe('a merge patch', () => {
  test.each<[JsonValue, JsonValue, JsonValue]>([
    // The cases of RFC 7396.
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'b' }, ['c'], ['c']],
    [{ a: 'foo' }, null, null],
    [{ a: 'foo' }, 'bar', 'bar'],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: 'b', c: null }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])('%j and %j make %j', (target, patch, result) => {
    const before = structuredClone(target)
    expect(mergePatch(target, patch)).toEqual(result)
    expect(target).toEqual(before)
  })

  test('has no power over what objects are', () => {
    const patched = mergePatch({}, JSON.parse('{"__proto__": {"admin": true}}'))
    expect(JSON.stringify(patched)).toBe('{"__proto__":{"admin":true}}')
    expect(Object.getPrototypeOf(patched)).toBe(Object.prototype)
    expect({}).not.toHaveProperty('admin')
  })
})

describe('last values', () => {
  const event = (offset: number, key: string, value: JsonValue): EventFrame => ({
    offset,
    id: 'i',
    time: 0,
    key,
    value,
  })

  test('are kept of as many keys as a server counts on, the latest', () => {
    const values = new LastValues()
    for (let offset = 0; offset <= deltaKeys; offset++) values.restore(event(offset, `k${offset}`, { offset }))
    const delta = (key: string, base: number) =>
      values.restore({ offset: 99_999, id: 'i', time: 0, key, base, delta: { more: 1 } })
    expect(delta('k0', 0)).toBeUndefined()
    expect(delta('k1', 1)?.value).toEqual({ offset: 1, more: 1 })
  })

  test('are not changed by what a consumer does to its event', () => {
    const values = new LastValues()
    const given: { list: number[] } = { list: [1] }
    values.restore(event(0, 'k', given))
    given.list.push(2)
    const next = values.restore({ offset: 1, id: 'i', time: 0, key: 'k', base: 0, delta: { other: true } })
    expect(next?.value).toEqual({ list: [1], other: true })
  })

  test('tell from where on they are whole', () => {
    const values = new LastValues()
    expect(values.request).toBe(true)
    values.begin(4, true)
    expect(values.request).toEqual({ from: 5 })
    values.miss(20)
    values.begin(30, true)
    expect(values.request).toEqual({ from: 21 })
    values.begin(40, false)
    expect(values.request).toEqual({ from: 41 })
  })
})

/** The patch that makes `to` of `from`; neither has nulls. */
function difference(from: Fields, to: Fields): Fields {
  const patch: Record<string, JsonValue> = {}
  for (const name of Object.keys(from)) if (!(name in to)) patch[name] = null
  for (const [name, value] of Object.entries(to)) {
    const before = from[name]
    if (JSON.stringify(before) === JSON.stringify(value)) continue
    patch[name] = isFields(before) && isFields(value) ? difference(before, value) : value
  }
  return patch
}
function isFields(value: JsonValue | undefined): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A channel that sends deltas whenever it may, and sometimes from a base that its client never had. */
class DeltaChannel {
  readonly server = new FakeServer()
  readonly events: { readonly key: string; readonly value: Fields }[] = []
  confused = 0
  /** Of each connection: the last offset that was sent of each key, and the subscription. */
  readonly #sent = new Map<FakeConnection, { name: string; bases: Map<string, number> }>()

  constructor() {
    this.server.answer = (message, connection) => this.#answer(message, connection)
  }

  append(key: string, value: Fields): void {
    this.events.push({ key, value })
    for (const [connection, { name, bases }] of this.#sent) {
      if (!connection.over) this.#send(connection, name, bases, this.events.length - 1)
    }
  }

  #answer(message: ClientMessage, connection: FakeConnection): void {
    if (message.type === 'unsubscribe') this.#sent.delete(connection)
    if (message.type !== 'subscribe' || !('channel' in message)) return
    const { since, delta } = message
    const offset = typeof since === 'object' && 'epoch' in since ? since.offset : this.events.length - 1
    const bases = new Map<string, number>()
    if (typeof delta === 'object') {
      for (const [at, { key }] of this.events.entries()) if (at >= delta.from && at <= offset) bases.set(key, at)
    }
    const name = `s${message.id}`
    this.#sent.set(connection, { name, bases })
    connection.send({ id: message.id, type: 'subscribed', subscription: name, epoch: 'e', offset, recovered: true })
    for (let at = offset + 1; at < this.events.length; at++) this.#send(connection, name, bases, at)
  }

  #send(connection: FakeConnection, subscription: string, bases: Map<string, number>, offset: number): void {
    const event = this.events[offset]
    if (!event) return
    const { key, value } = event
    const base = bases.get(key)
    bases.set(key, offset)
    const frame = { offset, id: `${offset}`, time: 0, key }
    if (base === undefined) {
      connection.send({ type: 'events', subscription, events: [{ ...frame, value }] })
      return
    }
    const lost = this.confused > 0 ? this.#earlier(key, base) : undefined
    if (lost !== undefined) this.confused--
    const from = lost ?? base
    const delta = difference(this.events[from]?.value ?? {}, value)
    connection.send({ type: 'events', subscription, events: [{ ...frame, base: from, delta }] })
  }

  /** An event of that key whose value the client has no more. */
  #earlier(key: string, before: number): number | undefined {
    const found = this.events.slice(0, before).findLastIndex((event) => event.key === key)
    return found < 0 ? undefined : found
  }
}

const value = fc.dictionary(
  fc.constantFrom('a', 'b', 'c', 'd'),
  fc.oneof(
    fc.integer(),
    fc.string(),
    fc.array(fc.integer(), { maxLength: 3 }),
    fc.dictionary(fc.string(), fc.integer()),
  ),
)
const step = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(fc.constantFrom('x', 'y', 'z'), value) },
  { weight: 2, arbitrary: fc.constantFrom('break', 'wait', 'confuse') },
)

test('over connections that break and servers that are confused, every value is the one that was published', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60, size: 'max' }), async (steps) => {
      const channel = new DeltaChannel()
      const client = connect('http://fake', { WebSocket: channel.server.WebSocket, transport: 'websocket' })
      const subscription = client.subscribe('c', { delta: true })
      const seen: [number, JsonValue][] = []
      subscription.on('event', ({ offset, value }) => seen.push([offset, value]))
      await subscription.ready()
      for (const action of steps) {
        if (action === 'break') for (const connection of channel.server.open) connection.break()
        else if (action === 'confuse') channel.confused++
        else if (action === 'wait') await new Promise((resolve) => setTimeout(resolve, 1))
        else if (Array.isArray(action)) channel.append(action[0], action[1])
      }
      await expect.poll(() => seen.length, { timeout: 40_000, interval: 5 }).toBe(channel.events.length)
      expect(seen).toEqual(channel.events.map(({ value }, offset) => [offset, value]))
      client.close()
    }),
    { numRuns: 25 },
  )
}, 120_000)

test('after a reconnection the server is told of what deltas still apply to', async () => {
  const channel = new DeltaChannel()
  const client = connect('http://fake', { WebSocket: channel.server.WebSocket, transport: 'websocket' })
  const subscription = client.subscribe('c', { delta: true })
  const seen: unknown[] = []
  subscription.on('event', ({ value }) => seen.push(value))
  await subscription.ready()
  channel.append('x', { a: 1, b: 2 })
  await expect.poll(() => seen.length).toBe(1)
  channel.server.last.break()
  channel.append('x', { a: 1, b: 3 })
  await expect
    .poll(() => seen)
    .toEqual([
      { a: 1, b: 2 },
      { a: 1, b: 3 },
    ])
  expect(channel.server.connections.map(({ received }) => received.find(({ type }) => type === 'subscribe'))).toEqual([
    expect.objectContaining({ since: 'latest', delta: true }),
    expect.objectContaining({ since: { epoch: 'e', offset: 0 }, delta: { from: 0 } }),
  ])
  client.close()
})
