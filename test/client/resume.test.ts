import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { connect } from '../../src/client/index.ts'
import { type Harness, startServer } from '../server/harness.ts'

let server: Harness
beforeAll(async () => {
  server = await startServer()
})
afterAll(() => server[Symbol.asyncDispose]())

/** Connections that the test can break, as a network does. */
class Breakable extends WebSocket {
  static readonly open = new Set<Breakable>()
  static deltas = 0

  constructor(url: string, protocols: string) {
    super(url, protocols)
    Breakable.open.add(this)
    this.on('message', (data) => {
      if (String(data).includes('"delta":')) Breakable.deltas++
    })
    this.on('close', () => Breakable.open.delete(this))
  }

  static breakAll(): void {
    for (const socket of Breakable.open) socket.terminate()
  }
}

const action = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 30 }) },
  { weight: 1, arbitrary: fc.constant('break' as const) },
  { weight: 2, arbitrary: fc.constant('wait' as const) },
)
const actions = fc.array(action, { minLength: 5, maxLength: 25, size: 'max' })
/** Most of it stays the same, so that a delta is worth it. */
const fieldsOf = (n: number) => ({ n, about: 'the same text for all of them, again and again. '.repeat(4) })
type Value = ReturnType<typeof fieldsOf>
let runs = 0
let offset = 0

test('over sockets that break: each event once, in order, and no gap', { timeout: 60_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(actions, fc.boolean(), fc.boolean(), async (steps, iterates, delta) => {
      const channel = `run-${runs++}`
      const client = connect(server.address, { WebSocket: Breakable })
      const subscription = client.subscribe<Value>(channel, { delta })
      const seen: unknown[] = []
      const gaps: unknown[] = []
      subscription.on('gap', (gap) => gaps.push(gap))
      const consume = async () => {
        for await (const { value } of subscription) seen.push(value)
      }
      if (!iterates) subscription.on('event', ({ value }) => seen.push(value))
      const consumed = iterates ? consume() : Promise.resolve()
      await subscription.ready()
      let pushed = 0
      for (const step of steps) {
        if (step === 'break') Breakable.breakAll()
        else if (step === 'wait') await new Promise((resolve) => setTimeout(resolve, 20))
        else {
          const events = Array.from({ length: step }, () => ({
            id: `${pushed}`,
            key: `k${pushed % 3}`,
            value: fieldsOf(pushed++),
            timestamp: 1,
          }))
          await server.liveLog.append(
            channel,
            'lane',
            events,
            events.map(() => offset++),
          )
        }
      }
      await expect.poll(() => seen.length, { timeout: 20_000, interval: 5 }).toBeGreaterThanOrEqual(pushed)
      expect(seen).toEqual(Array.from({ length: pushed }, (_, index) => fieldsOf(index)))
      expect(gaps).toEqual([])
      client.close()
      await consumed
    }),
    { numRuns: 12 },
  )
  expect(Breakable.deltas).toBeGreaterThan(0)
})
