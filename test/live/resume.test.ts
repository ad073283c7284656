import fc from 'fast-check'
import { expect, test } from 'vitest'
import { unrestricted } from '../../src/core/principal.ts'
import { createExpressions } from '../../src/expressions/index.ts'
import { Live, type Session, type Transport } from '../../src/live/index.ts'
import type { ServerMessage } from '../../src/live/protocol.ts'
import { FakeEmbedder } from '../server/fakes.ts'
import { MemoryLiveLog } from './memory-live-log.ts'

/** A network that takes frames when the test says so, and loses those it has not taken when it breaks. */
class Network implements Transport {
  readonly #frames: { frame: Uint8Array; taken: () => void }[] = []
  readonly #deliver: (message: ServerMessage) => void
  closed = false

  constructor(deliver: (message: ServerMessage) => void) {
    this.#deliver = deliver
  }

  get buffered(): number {
    return this.#frames.reduce((sum, { frame }) => sum + frame.byteLength, 0)
  }

  send(frame: Uint8Array, taken: () => void): void {
    this.#frames.push({ frame, taken })
  }

  close(): void {
    this.closed = true
  }

  take(count: number): void {
    for (const { frame, taken } of this.#frames.splice(0, count)) {
      this.#deliver(JSON.parse(new TextDecoder().decode(frame)))
      taken()
    }
  }
}

/** Keeps to the protocol: remembers where it is, and what it was told that it missed. */
class Subscriber {
  readonly seen: number[] = []
  readonly #missed: { from: number; to: number }[] = []
  readonly #live: Live
  readonly #filter: string | undefined
  #network: Network | undefined
  #session: Session | undefined
  #at: { epoch: string; offset: number } | undefined

  constructor(live: Live, filter: string | undefined) {
    this.#live = live
    this.#filter = filter
    this.connect()
  }

  connect(): void {
    this.#session?.disconnected()
    this.#network = new Network((message) => this.#receive(message))
    this.#session = this.#live.open(this.#network, { principal: unrestricted('local') })
    const since = this.#at ?? { last: 10_000 }
    this.#session.receive(JSON.stringify({ id: 1, type: 'subscribe', channel: 'c', filter: this.#filter, since }))
  }

  take(count: number): void {
    this.#network?.take(count)
    if (this.#network?.closed) this.connect()
  }

  /** Takes everything until the server says that nothing is left. */
  async settle(next: number): Promise<void> {
    for (let round = 0; (this.#at?.offset ?? -1) < next - 1; round++) {
      if (round > 2_000) throw new Error(`stuck at ${this.#at?.offset} of ${next}`)
      await new Promise((resolve) => setImmediate(resolve))
      this.take(Number.POSITIVE_INFINITY)
      this.#session?.heartbeat()
    }
  }

  knowsOf(offset: number): boolean {
    return this.seen.includes(offset) || this.#missed.some(({ from, to }) => from <= offset && offset <= to)
  }

  #receive(message: ServerMessage): void {
    if (message.type === 'subscribed') {
      if (!message.recovered) this.#missed.push({ from: (this.#at?.offset ?? -1) + 1, to: message.offset })
      if (!this.#at) this.#missed.push({ from: 0, to: message.offset })
      this.#at = { epoch: message.epoch, offset: message.offset }
    }
    if (!this.#at) return
    if (message.type === 'gap') this.#missed.push(message)
    if (message.type === 'heartbeat') this.#advance(message.offsets.s1 ?? -1)
    if (message.type !== 'events') return
    for (const { offset } of message.events) {
      this.seen.push(offset)
      this.#advance(offset)
    }
  }

  #advance(offset: number): void {
    if (this.#at && offset > this.#at.offset) this.#at = { epoch: this.#at.epoch, offset }
  }
}

const action = fc.oneof(
  { weight: 4, arbitrary: fc.record({ push: fc.integer({ min: 1, max: 40 }) }) },
  { weight: 3, arbitrary: fc.record({ take: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 1, arbitrary: fc.constant('disconnect' as const) },
  { weight: 3, arbitrary: fc.constant('wait' as const) },
)

test('whatever the network does: every event once and in order, or a gap that says so', async () => {
  const expressions = createExpressions()
  await fc.assert(
    fc.asyncProperty(
      fc.array(action, { maxLength: 60 }),
      fc.constantFrom(undefined, 'value % 3 == 0'),
      fc.constantFrom(15, 60, Number.POSITIVE_INFINITY),
      async (actions, filter, keep) => {
        const log = new MemoryLiveLog(keep)
        const live = new Live({
          log: async () => log,
          embedder: async () => new FakeEmbedder(),
          expressions,
          publish: async () => [],
          authenticate: async () => unrestricted('local'),
          logger: { warn: () => undefined, error: () => undefined },
          limits: { queuedEvents: 12, highWaterBytes: 300, stalledMs: 60_000 },
        })
        const subscriber = new Subscriber(live, filter)
        let pushed = 0
        for (const step of actions) {
          if (step === 'disconnect') subscriber.connect()
          else if (step === 'wait') await new Promise((resolve) => setTimeout(resolve, 1))
          else if ('take' in step) subscriber.take(step.take)
          else {
            const events = Array.from({ length: step.push }, () => {
              const value = pushed++
              return { id: `e${value}`, key: value % 2 ? `k${value % 5}` : null, value, timestamp: 1 }
            })
            await log.append('c', 'lane', events)
          }
        }
        await subscriber.settle(pushed)
        expect(subscriber.seen).toEqual([...new Set(subscriber.seen)].sort((one, other) => one - other))
        for (let offset = 0; offset < pushed; offset++) {
          if (filter !== undefined && offset % 3 !== 0) expect(subscriber.seen).not.toContain(offset)
          else expect(subscriber.knowsOf(offset), `offset ${offset} of ${pushed}`).toBe(true)
        }
        await live.close()
      },
    ),
    { numRuns: 150 },
  )
})
