import fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type Client, connect, type Followed, MillraceClientError } from '../../src/client/index.ts'
import type { ClientMessage, EventFrame } from '../../src/live/protocol.ts'
import { type FakeConnection, FakeServer } from './fake-server.ts'

const clients: Client[] = []
afterEach(() => {
  for (const client of clients.splice(0)) client.close()
  vi.useRealTimers()
})

interface Item {
  readonly id: string
  readonly version: number | undefined
}
interface Change extends Item {
  readonly retracts: boolean
}

/** Minutes of the model: as far as the store may be behind, and as long as the channel keeps its events at least. */
const overlap = 10

/**
 * A topic, and two that read it, each at its own pace: a channel, and a store that is behind the channel by no more than
 * `overlap`. Time is the model's.
 */
class World {
  readonly server = new FakeServer()
  readonly #topic: Change[] = []
  readonly #channel: { readonly change: Change; readonly appended: number }[] = []
  readonly #listeners = new Map<string, FakeConnection>()
  #epoch = 'e0'
  #first = 0
  #stored = 0
  #now = 100

  constructor() {
    this.server.answer = (message, connection) => this.#answer(message, connection)
  }

  get client(): Client {
    const client = connect('http://a', { WebSocket: this.server.WebSocket, transport: 'websocket' })
    clients.push(client)
    return client
  }

  produce(id: string | undefined, retracts: boolean): void {
    const version = this.#topic.length
    this.#topic.push(
      id === undefined ? { id: `once-${version}`, version: undefined, retracts: false } : { id, version, retracts },
    )
  }

  push(count: number): void {
    for (const change of this.#topic.slice(this.#channel.length, this.#channel.length + count)) {
      this.#channel.push({ change, appended: this.#now })
      for (const [name, connection] of this.#listeners) this.#send(connection, name, this.#channel.length - 1)
    }
  }

  store(count: number): void {
    this.#stored = Math.min(this.#topic.length, this.#stored + count)
  }

  tick(minutes: number): void {
    this.#now += minutes
    for (const [index, { appended }] of this.#channel.entries()) {
      if (appended <= this.#now - overlap) this.#stored = Math.max(this.#stored, index + 1)
    }
  }

  /** The channel drops what it need not keep. */
  drop(): void {
    this.#first = this.#channel.findIndex(({ appended }) => appended >= this.#now - overlap)
    if (this.#first < 0) this.#first = this.#channel.length
  }

  begin(): void {
    this.#epoch = `e${this.#now++}`
    for (const connection of this.server.open) connection.break()
    this.#listeners.clear()
  }

  break(): void {
    for (const connection of this.server.open) connection.break()
    this.#listeners.clear()
  }

  snapshot(): Item[] {
    return itemsOf(this.#topic.slice(0, this.#stored))
  }

  get truth(): Item[] {
    return itemsOf(this.#topic)
  }

  finish(): void {
    this.push(this.#topic.length)
    this.store(this.#topic.length)
  }

  #answer(message: ClientMessage, connection: FakeConnection): void {
    if (message.type === 'unsubscribe') this.#listeners.delete(message.subscription)
    if (message.type !== 'subscribe' || !('channel' in message)) return
    const { id, since } = message
    const next = this.#channel.length
    let from = next
    let recovered = true
    if (typeof since === 'object' && 'ago' in since) {
      const found = this.#channel.findIndex(({ appended }) => appended >= this.#now - since.ago / 60_000)
      from = found < 0 ? next : found
      recovered = from >= this.#first
    } else if (typeof since === 'object' && 'epoch' in since) {
      recovered = since.epoch === this.#epoch && since.offset + 1 >= this.#first
      from = recovered ? since.offset + 1 : next
    }
    const subscription = `s${this.server.connections.length}-${id}`
    connection.send({ id, type: 'subscribed', subscription, epoch: this.#epoch, offset: from - 1, recovered })
    this.#listeners.set(subscription, connection)
    for (let offset = from; offset < next; offset++) this.#send(connection, subscription, offset)
  }

  #send(connection: FakeConnection, subscription: string, offset: number): void {
    const entry = this.#channel[offset]
    if (!entry) return
    const { id, version, retracts } = entry.change
    const event: EventFrame = { offset, id, time: 0, key: null, value: retracts ? null : 'value', version }
    connection.send({ type: 'events', subscription, events: [event] })
  }
}

function itemsOf(changes: readonly Change[]): Item[] {
  const items = new Map<string, Item>()
  for (const { id, version, retracts } of changes) {
    if (retracts) items.delete(id)
    else items.set(id, { id, version })
  }
  return [...items.values()]
}

/** What a page makes of it, and what was wrong with what it was told. */
class Page {
  readonly wrong: string[] = []
  #items = new Map<string, number | undefined>()
  snapshots = 0
  /** Retracted since the snapshot, by version. */
  readonly #gone = new Map<string, number>()

  take(followed: Followed<Item, string>): void {
    if (followed.type === 'snapshot') {
      this.snapshots++
      this.#gone.clear()
      this.#items = new Map(followed.items.map(({ id, version }) => [id, version]))
      if (!followed.complete) this.wrong.push('incomplete')
      return
    }
    const { id, value, version } = followed.event
    const there = this.#items.has(id)
    const before = this.#items.get(id) ?? this.#gone.get(id)
    if (there && (version === undefined || before === undefined || version <= before)) {
      this.wrong.push(`${id} again: ${version} after ${before}`)
    }
    if (value === null) {
      if (!there) this.wrong.push(`${id} is not there to be retracted`)
      this.#items.delete(id)
      this.#gone.set(id, version ?? 0)
    } else this.#items.set(id, version)
  }

  get items(): Item[] {
    return [...this.#items].map(([id, version]) => ({ id, version }))
  }
}

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ id: fc.option(fc.constantFrom('a', 'b', 'c'), { nil: undefined }), retracts: fc.boolean() }),
  },
  { weight: 4, arbitrary: fc.record({ push: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 3, arbitrary: fc.record({ store: fc.integer({ min: 1, max: 8 }) }) },
  { weight: 2, arbitrary: fc.record({ tick: fc.integer({ min: 1, max: 15 }) }) },
  { weight: 4, arbitrary: fc.record({ wait: fc.constantFrom(1, 2, 400) }) },
  { weight: 1, arbitrary: fc.constantFrom('break', 'drop', 'begin') },
)

test('however the channel, the store and the network go: nothing is missed, nothing is repeated', async () => {
  const sorted = (items: readonly Item[]) => items.toSorted((one, other) => one.id.localeCompare(other.id))
  vi.useFakeTimers()
  let anew = 0
  const run = async (steps: readonly (typeof step extends fc.Arbitrary<infer Step> ? Step : never)[]) => {
    const world = new World()
    const act = async (action: (typeof steps)[number]) => {
      if (typeof action === 'string') world[action]()
      else if ('wait' in action) await vi.advanceTimersByTimeAsync(action.wait)
      else if ('push' in action) world.push(action.push)
      else if ('store' in action) world.store(action.store)
      else if ('tick' in action) world.tick(action.tick)
      else world.produce(action.id, action.retracts)
    }
    const half = Math.floor(steps.length / 2)
    for (const action of steps.slice(0, half)) await act(action)
    const page = new Page()
    let lag = 0
    const client = world.client
    const followed = client.follow<Item, string>('c', {
      overlap: overlap * 60_000,
      version: ({ version }) => version,
      snapshot: async () => {
        lag = (lag * 7 + 1) % 5
        await new Promise((resolve) => setTimeout(resolve, lag))
        return world.snapshot()
      },
    })
    const reading = (async () => {
      for await (const told of followed) page.take(told)
    })()
    for (const action of steps.slice(half)) await act(action)
    world.finish()
    await vi.advanceTimersByTimeAsync(20_000)
    expect(sorted(page.items)).toEqual(sorted(world.truth))
    expect(page.wrong).toEqual([])
    if (page.snapshots > 1) anew++
    followed.close()
    await reading
    client.close()
  }
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 120, size: 'max' }), run), {
    numRuns: 400,
  })
  // The gaps were real.
  expect(anew).toBeGreaterThan(50)
}, 120_000)

describe('a snapshot', () => {
  test('that cannot be loaded now is tried again', async () => {
    const world = new World()
    let tries = 0
    const followed = world.client.follow<Item>('c', {
      snapshot: async () => {
        if (++tries === 1) throw new MillraceClientError({ code: 'unreachable', message: 'no answer' })
        return []
      },
    })
    const { value } = await followed[Symbol.asyncIterator]().next()
    expect(value).toEqual({ type: 'snapshot', items: [], complete: true })
  })

  test('that fails otherwise ends it', async () => {
    const world = new World()
    const followed = world.client.follow<Item>('c', {
      snapshot: async () => {
        throw new Error('a mistake in the page')
      },
    })
    await expect(followed[Symbol.asyncIterator]().next()).rejects.toThrow('a mistake in the page')
    await expect.poll(() => world.server.open).toEqual([])
  })

  test('is not waited for once it is closed', async () => {
    const world = new World()
    let given: AbortSignal | undefined
    const followed = world.client.follow<Item>('c', {
      snapshot: (signal) => {
        given = signal
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      },
    })
    const next = followed[Symbol.asyncIterator]().next()
    await expect.poll(() => given).toBeDefined()
    followed.close()
    expect(await next).toEqual({ done: true, value: undefined })
    expect(given?.aborted).toBe(true)
  })
})

test('a channel that does not keep its events for long is told', async () => {
  const world = new World()
  for (let count = 0; count < 5; count++) world.produce(undefined, false)
  world.push(5)
  world.tick(5)
  world.drop()
  world.tick(overlap)
  world.drop()
  const followed = world.client.follow<Item>('c', { snapshot: async () => [], overlap: 3 * overlap * 60_000 })
  const { value } = await followed[Symbol.asyncIterator]().next()
  expect(value).toMatchObject({ complete: false })
})

test('a gap that comes together with the answer is not missed: the snapshot is loaded after it', async () => {
  const server = new FakeServer()
  let asked = 0
  server.answer = (message, connection) => {
    if (message.type !== 'subscribe') return
    connection.send({ id: message.id, type: 'subscribed', subscription: 's1', epoch: 'e', offset: 4, recovered: true })
    if (++asked === 1) connection.send({ type: 'gap', subscription: 's1', from: 5, to: 7, reason: 'expired' })
  }
  const client = connect('http://localhost', { WebSocket: server.WebSocket })
  clients.push(client)
  const followed = client.follow<Item>('c', { snapshot: async () => [] })
  await followed[Symbol.asyncIterator]().next()
  expect(asked).toBe(2)
})
