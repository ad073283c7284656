import fc from 'fast-check'
import { expect, test } from 'vitest'
import { LastValues } from '../../src/client/deltas.ts'
import type { Json } from '../../src/core/event.ts'
import type { LiveEvent } from '../../src/core/live-log.ts'
import { unrestricted } from '../../src/core/principal.ts'
import { createExpressions } from '../../src/expressions/index.ts'
import { Live, type Session, type Transport } from '../../src/live/index.ts'
import type { ServerMessage, Since, SubscribeOptions } from '../../src/live/protocol.ts'
import { FakeEmbedder } from '../server/fakes.ts'
import { MemoryLiveLog } from './memory-live-log.ts'

/** Takes frames when the test says so. Keeps the last values as the SDK does, and checks what deltas apply to. */
class Client implements Transport {
  readonly seen = new Map<number, Json>()
  deltas = 0
  readonly #options: SubscribeOptions
  readonly #takesDeltas: boolean
  readonly #values = new LastValues()
  #frames: { frame: Uint8Array; taken: () => void }[] = []
  #session: Session | undefined
  #subscribed = false
  #since: Since
  #at: { epoch: string; offset: number } | undefined

  constructor(options: SubscribeOptions, takesDeltas = true) {
    this.#options = options
    this.#takesDeltas = takesDeltas
    this.#since = options.since ?? 'latest'
  }

  get connected(): boolean {
    return this.#session !== undefined
  }

  /** Whether it has everything up to an offset. */
  hasCome(offset: number): boolean {
    return this.#subscribed && this.offset >= offset
  }

  get offset(): number {
    return this.#at?.offset ?? -1
  }

  get buffered(): number {
    return this.#frames.reduce((sum, { frame }) => sum + frame.byteLength, 0)
  }

  send(frame: Uint8Array, taken: () => void): void {
    this.#frames.push({ frame, taken })
  }

  close(): void {
    this.#frames = []
  }

  leave(): void {
    this.#session?.disconnected()
    this.#session = undefined
    this.#subscribed = false
    this.#frames = []
  }

  connect(live: Live): void {
    this.leave()
    this.#session = live.open(this, { principal: unrestricted('local') })
    this.#since = this.#at ?? this.#since
    const request = { ...this.#options, id: 1, type: 'subscribe', channel: 'c' }
    this.#session.receive(
      JSON.stringify({ ...request, since: this.#since, delta: this.#takesDeltas && this.#values.request }),
    )
  }

  take(count: number): void {
    for (const { frame, taken } of this.#frames.splice(0, count)) {
      this.#receive(JSON.parse(new TextDecoder().decode(frame)))
      taken()
    }
  }

  heartbeat(): void {
    this.#session?.heartbeat()
  }

  #receive(message: ServerMessage): void {
    if (message.type === 'error') throw new Error(message.message)
    if (message.type === 'subscribed') {
      const resumed = typeof this.#since === 'object' && 'offset' in this.#since && message.recovered
      this.#subscribed = true
      this.#values.begin(message.offset, resumed)
      this.#at = { epoch: message.epoch, offset: message.offset }
    }
    if (message.type === 'gap') this.#values.miss(message.to)
    if (message.type === 'heartbeat') this.#advance(message.offsets.s1 ?? -1)
    if (message.type !== 'events') return
    for (const frame of message.events) {
      const event = this.#values.restore(frame)
      if (!event) throw new Error(`offset ${frame.offset} is a delta that applies to nothing`)
      if (!('value' in frame)) this.deltas++
      this.seen.set(event.offset, event.value)
      this.#advance(event.offset)
    }
  }

  #advance(offset: number): void {
    if (this.#at && offset > this.#at.offset) this.#at = { epoch: this.#at.epoch, offset }
  }
}

const expressions = createExpressions()
const text = 'a text that is long enough for a delta to be shorter than the whole event'

function eventAt(n: number): LiveEvent {
  const key = n % 5 === 4 ? null : `k${n % 3}`
  const value = n % 11 === 10 ? null : { n, text, inner: { even: n % 2 === 0, kept: [text], odd: n % 2 ? text : 'no' } }
  return { id: `e${n % 17}`, key, value, timestamp: n, version: n }
}

function open(log: MemoryLiveLog, limits: { queuedEvents: number; highWaterBytes: number }): Live {
  return new Live({
    log: async () => log,
    embedder: async () => new FakeEmbedder(),
    expressions,
    publish: async () => [],
    authenticate: async () => unrestricted('local'),
    logger: { warn: () => undefined, error: () => undefined },
    limits,
  })
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

/** Until those who are connected have come so far. */
async function settle(clients: readonly Client[], offset: number): Promise<void> {
  const deadline = performance.now() + 5_000
  while (clients.some((client) => client.connected && !client.hasCome(offset)) && performance.now() < deadline) {
    for (let turns = 0; turns < 5; turns++) await turn()
    for (const client of clients) {
      client.take(Number.POSITIVE_INFINITY)
      client.heartbeat()
    }
  }
}

const options = fc.constantFrom<SubscribeOptions>(
  { since: { last: 50 } },
  { since: 'latest' },
  { since: 'latest', filter: 'value.n % 3 != 0' },
  { since: { last: 20 }, conflate: 'key' },
  { since: 'latest', maxRate: 200 },
)
const who = fc.integer({ min: 0, max: 2 })
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ push: fc.integer({ min: 1, max: 25 }) }) },
  { weight: 5, arbitrary: fc.record({ take: who, frames: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 1, arbitrary: fc.record({ leave: who }) },
  { weight: 1, arbitrary: fc.record({ connect: who }) },
  { weight: 2, arbitrary: fc.constant('wait' as const) },
  { weight: 2, arbitrary: fc.constant('settle' as const) },
)

test('whatever happens, deltas give the values that were published, and apply to what the client has', async () => {
  let deltas = 0
  await fc.assert(
    fc.asyncProperty(
      options,
      fc.constantFrom([true], [true, true], [true, true, false], [true, false]),
      fc.array(step, { minLength: 30, maxLength: 80, size: 'max' }),
      fc.constantFrom(8, 30, 1_000),
      fc.constantFrom({ queuedEvents: 15, highWaterBytes: 1_500 }, { queuedEvents: 1_000, highWaterBytes: 20_000 }),
      async (option, takeDeltas, steps, keep, limits) => {
        const log = new MemoryLiveLog(keep)
        const live = open(log, limits)
        const clients = takeDeltas.map((takesDeltas) => new Client(option, takesDeltas))
        for (const client of clients) client.connect(live)
        let pushed = 0
        for (const step of steps) {
          if (step === 'settle') await settle(clients, pushed - 1)
          else if (step === 'wait') await new Promise((resolve) => setTimeout(resolve, 1))
          else if ('connect' in step) clients[step.connect]?.connect(live)
          else if ('leave' in step) clients[step.leave]?.leave()
          else if ('take' in step) clients[step.take]?.take(step.frames)
          else {
            const events = Array.from({ length: step.push }, () => eventAt(pushed++))
            await log.append('c', 'lane', events)
          }
        }
        for (const client of clients) if (!client.connected) client.connect(live)
        await settle(clients, pushed - 1)
        for (const client of clients) {
          expect(client.offset).toBe(pushed - 1)
          for (const [offset, value] of client.seen) expect(value).toEqual(eventAt(offset).value)
          deltas += client.deltas
        }
        await live.close()
      },
    ),
    { numRuns: 300 },
  )
  expect(deltas).toBeGreaterThan(200)
}, 120_000)

test('what is read from the log comes in deltas as well', async () => {
  const log = new MemoryLiveLog()
  const live = open(log, { queuedEvents: 1_000, highWaterBytes: 100_000 })
  await log.append('c', 'lane', [0, 1, 2, 3, 4, 5, 6].map(eventAt))
  const client = new Client({ since: { last: 10 } })
  client.connect(live)
  while (client.offset < 6) {
    await turn()
    client.take(100)
  }
  expect(client.deltas).toBe(3)
  await live.close()
})

test('a subscription that takes deltas and one that does not share what is in full', async () => {
  const log = new MemoryLiveLog()
  const live = open(log, { queuedEvents: 1_000, highWaterBytes: 100_000 })
  const early = new Client({ since: 'latest' })
  const late = new Client({ since: 'latest' })
  const settle = async (offset: number) => {
    while (early.offset < offset) {
      await turn()
      early.take(100)
      late.take(100)
    }
  }
  early.connect(live)
  for (let n = 0; n < 20; n++) await turn()
  await log.append('c', 'lane', [eventAt(0), eventAt(1), eventAt(2)])
  await settle(2)
  late.connect(live)
  for (let n = 0; n < 20; n++) await turn()
  late.take(100)
  await log.append('c', 'lane', [eventAt(3)])
  await settle(3)
  expect([early.deltas, late.deltas]).toEqual([1, 0])
  await log.append('c', 'lane', [eventAt(6)])
  await settle(4)
  expect([early.deltas, late.deltas]).toEqual([2, 1])
  await live.close()
})

test('a subscription that takes deltas again after nobody did is sent in full what it cannot have as one', async () => {
  const log = new MemoryLiveLog()
  const live = open(log, { queuedEvents: 1_000, highWaterBytes: 100_000 })
  const client = new Client({ since: 'latest' })
  const other = new Client({ since: 'latest' }, false)
  const clients = [client, other]
  for (const each of clients) each.connect(live)
  await settle(clients, -1)
  let pushed = 0
  const push = async () => {
    await log.append('c', 'lane', [eventAt(pushed * 15)])
    await settle(clients, pushed++)
  }
  await push()
  await push()
  expect(client.deltas).toBe(1)
  client.leave()
  await push()
  client.connect(live)
  await settle(clients, pushed - 1)
  await push()
  await push()
  expect([client.deltas, client.seen.size]).toEqual([2, 5])
  await live.close()
})
