import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Json } from '../../src/core/event.ts'
import type { LiveEvent } from '../../src/core/live-log.ts'
import { unrestricted } from '../../src/core/principal.ts'
import { createExpressions } from '../../src/expressions/index.ts'
import { Live, type LiveLimits } from '../../src/live/index.ts'
import type { SubscribeOptions } from '../../src/live/protocol.ts'
import { FakeEmbedder } from '../server/fakes.ts'
import { MemoryLiveLog } from './memory-live-log.ts'
import { type Received, Subscriber, sentOf } from './subscriber.ts'

const channel = 'c'
const gateways = 2
/** Makes it worth while to send only what has changed. */
const note = 'the same in all of them, '.repeat(6)
const everyThird = 'value.n % 3 == 0'
const expressions = createExpressions()
/** However busy the machine is, by then everything has been handed out. */
const stuckMs = 20_000

/** A channel, gateways that serve it from one log, and everything that was ever pushed to it. */
class World {
  readonly log: MemoryLiveLog
  /** By epoch, in the order of their offsets. */
  readonly pushed = new Map<string, LiveEvent[]>()
  readonly #limits: Partial<LiveLimits>
  readonly #lives: Live[]
  readonly #closing: Promise<void>[] = []
  #count = 0

  constructor(keep: number, limits: Partial<LiveLimits>) {
    this.log = new MemoryLiveLog(keep)
    this.#limits = limits
    this.#lives = Array.from({ length: gateways }, () => this.#open())
  }

  gateway(index: number): Live {
    return this.#lives[index % gateways] ?? this.#open()
  }

  /** The sessions of the one before are told that it closes; what they had not taken by then is lost to them. */
  restart(index: number): void {
    this.#closing.push(this.gateway(index).close())
    this.#lives[index % gateways] = this.#open()
  }

  /** Events of a few ids, keys and versions; every now and then a retraction. */
  async push(count: number): Promise<void> {
    const { epoch } = await this.log.head(channel)
    const events = Array.from({ length: count }, () => {
      const n = this.#count++
      const value: Json = n % 7 === 5 ? null : { n, group: n % 4, note }
      return { id: `e${n % 11}`, key: n % 2 === 0 ? null : `k${n % 5}`, value, timestamp: n, version: n }
    })
    this.pushed.set(epoch, [...(this.pushed.get(epoch) ?? []), ...events])
    await this.log.append(channel, 'lane', events)
  }

  /** Lets a subscriber take everything until the server says that nothing is left. */
  async settle(subscriber: Subscriber): Promise<void> {
    const { epoch, next } = await this.log.head(channel)
    const deadline = performance.now() + stuckMs
    for (let round = 0; subscriber.epoch !== epoch || subscriber.offset < next - 1; round++) {
      if (performance.now() > deadline) throw new Error(`stuck at ${subscriber.offset} of ${next}`)
      await new Promise((resolve) => (round % 10 === 9 ? setTimeout(resolve, 1) : setImmediate(resolve)))
      if (!subscriber.take(Number.POSITIVE_INFINITY)) subscriber.connect(this.gateway(round))
      else subscriber.heartbeat()
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#lives.map((live) => live.close()), ...this.#closing])
  }

  #open(): Live {
    const log = new MemoryLiveLog(this.log)
    return new Live({
      log: async () => log,
      embedder: async () => new FakeEmbedder(),
      expressions,
      publish: async () => [],
      authenticate: async () => unrestricted('local'),
      logger: { warn: () => undefined, error: () => undefined },
      limits: { stalledMs: 60_000, ...this.#limits },
    })
  }
}

/** Events that the subscriber asked for. Retractions pass every filter, for nobody knows who has seen the event. */
function matches({ filter }: SubscribeOptions, { value, version }: LiveEvent): boolean {
  return filter === undefined || value === null || (version ?? 0) % 3 === 0
}

/** Whether conflation may leave the first out for the second, which came later. Without an expression a slow client's is by key. */
function supersedes({ conflate }: SubscribeOptions, older: LiveEvent, newer: LiveEvent): boolean {
  if (older.id === newer.id) return true
  if (older.value === null || newer.value === null) return false
  const keyOf = ({ key, version = 0 }: LiveEvent) => (conflate === undefined ? key : version % 4)
  return keyOf(older) !== null && keyOf(older) === keyOf(newer)
}

/** What was kept from the subscriber, and why it knows of it. */
function checkEpoch(options: SubscribeOptions, pushed: readonly LiveEvent[], received: Received, isLast: boolean) {
  const seen = new Map(received.events.map((event) => [event.offset, event]))
  for (const [offset, event] of seen) {
    const original = pushed[offset]
    expect(original && sentOf(original), `what came at ${offset}`).toEqual(sentOf(event))
    expect(original && matches(options, original), `${offset} was asked for`).toBe(true)
  }
  if (!isLast) return
  const due = [...pushed.entries()].filter(([offset, event]) => offset > received.since && matches(options, event))
  for (const [index, [offset, event]] of due.entries()) {
    if (seen.has(offset)) continue
    const reasons = received.told.filter(({ from, to }) => from <= offset && offset <= to).map(({ reason }) => reason)
    expect(reasons, `${offset} of ${pushed.length} is missing`).not.toEqual([])
    if (reasons.some((reason) => reason !== 'conflated')) continue
    const later = due.slice(index + 1).some(([, newer]) => supersedes(options, event, newer))
    expect(later, `${offset} was the latest of its key`).toBe(true)
  }
}

const subscriberIndex = fc.nat({ max: 2 })
const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ push: fc.integer({ min: 1, max: 40 }) }) },
  { weight: 8, arbitrary: fc.record({ take: fc.integer({ min: 1, max: 5 }), by: subscriberIndex }) },
  { weight: 3, arbitrary: fc.record({ move: fc.nat({ max: gateways - 1 }), by: subscriberIndex }) },
  { weight: 6, arbitrary: fc.constant('wait' as const) },
  { weight: 2, arbitrary: fc.record({ restart: fc.nat({ max: gateways - 1 }) }) },
  { weight: 1, arbitrary: fc.constant('new epoch' as const) },
)
const many = fc.array(step, { minLength: 5, maxLength: 80, size: 'max' })
const within = many.map((steps) => steps.filter((each) => each !== 'new epoch'))
/** A gateway needs half a second to notice a new epoch. */
const steps = fc.oneof({ weight: 5, arbitrary: within }, { weight: 1, arbitrary: many })
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

const since: fc.Arbitrary<SubscribeOptions['since']> = fc.oneof(
  fc.constant('latest' as const),
  fc.record({ last: fc.constantFrom(0, 3, 10_000) }),
  fc.record({ time: fc.constantFrom(0, Number.MAX_SAFE_INTEGER) }),
)
const subscribing = fc.record({
  since,
  filter: fc.constantFrom(undefined, everyThird),
  conflate: fc.constantFrom(undefined, undefined, 'value.group'),
  maxRate: fc.constantFrom(undefined, undefined, 500),
  delta: fc.constantFrom(undefined, true),
})

const tight: Partial<LiveLimits> = { queuedEvents: 12, highWaterBytes: 1_000 }
const pause = () => new Promise((resolve) => setTimeout(resolve, 1))

async function play(world: World, subscribers: readonly Subscriber[], steps: readonly Step[]): Promise<void> {
  const by = (index: number) => subscribers[index % subscribers.length]
  for (const [round, step] of steps.entries()) {
    if (step === 'wait') await pause()
    else if (step === 'new epoch') world.log.restart(channel)
    else if ('push' in step) await world.push(step.push)
    else if ('restart' in step) world.restart(step.restart)
    else if ('move' in step) by(step.by)?.connect(world.gateway(step.move))
    else if (by(step.by)?.take(step.take) === false) by(step.by)?.connect(world.gateway(round))
  }
  for (const subscriber of subscribers) await world.settle(subscriber)
}

async function check(world: World, subscribers: readonly Subscriber[]): Promise<void> {
  const { epoch: last } = await world.log.head(channel)
  for (const { options, received } of subscribers) {
    for (const [epoch, has] of received) checkEpoch(options, world.pushed.get(epoch) ?? [], has, epoch === last)
  }
}

test('whatever happens: every event once and in order, or a gap that says so; of each key the latest', async () => {
  await fc.assert(
    fc.asyncProperty(
      steps,
      fc.array(subscribing, { minLength: 1, maxLength: 3 }),
      fc.constantFrom(15, 60, Number.POSITIVE_INFINITY),
      fc.constantFrom(tight, {}),
      async (steps, asked, keep, limits) => {
        const world = new World(keep, limits)
        try {
          const subscribers = asked.map((options, index) => new Subscriber(world.gateway(index), options))
          await play(world, subscribers, steps)
          await check(world, subscribers)
        } finally {
          await world.close()
        }
      },
    ),
    { numRuns: 150 },
  )
}, 120_000)

test('who reads as fast as it is written misses nothing, wherever it is connected, and is told of no gap', async () => {
  const asking = fc.record({ filter: fc.constantFrom(undefined, everyThird), delta: fc.constantFrom(undefined, true) })
  await fc.assert(
    fc.asyncProperty(within, fc.array(asking, { minLength: 1, maxLength: 3 }), async (steps, asked) => {
      const world = new World(Number.POSITIVE_INFINITY, {})
      try {
        const subscribers = asked.map((options, index) => {
          return new Subscriber(world.gateway(index), { ...options, since: { last: 10_000 } })
        })
        await play(world, subscribers, steps)
        await check(world, subscribers)
        for (const { received } of subscribers) {
          for (const { told, since } of received.values()) expect([told, since]).toEqual([[], -1])
        }
      } finally {
        await world.close()
      }
    }),
    { numRuns: 80 },
  )
}, 120_000)
