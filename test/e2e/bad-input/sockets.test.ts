import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { startOrders } from './orders.ts'
import { eventually, expectNoTrace } from './support.ts'

let orders: Awaited<ReturnType<typeof startOrders>>
beforeAll(async () => {
  orders = await startOrders()
})
afterAll(() => orders[Symbol.asyncDispose]())

describe('a WebSocket client that sends', () => {
  test.each<[string, string | Buffer]>([
    ['no JSON', 'garbage'],
    ['no message of the protocol', '{"hello":"world"}'],
    ['bytes', Buffer.from([0, 1, 2, 255])],
    ['an unknown type', '{"type":"subscrbe","channel":"orders"}'],
    ['an expression that is none', '{"type":"subscribe","id":"a","channel":"orders","where":"value.n >"}'],
  ])('%s is told so, and the others still get their events', async (_what, garbage) => {
    const good = await subscriber()
    const bad = new WebSocket(`${orders.address.replace('http', 'ws')}/v1/live`, 'millrace.v1')
    const answers: string[] = []
    bad.on('message', (data) => answers.push(String(data)))
    bad.on('close', (code, reason) => answers.push(`${code} ${reason.toString()}`))
    await once(bad, 'open')
    bad.send(garbage)
    await eventually(async () => expect(answers.join('\n')).toMatch(/error|bad_|^4\d\d\d /m))
    expectNoTrace(answers.join('\n'))
    bad.close()
    const n = await orders.publish()
    await eventually(async () => expect(good.received.join('\n')).toContain(`"n":${n}`))
    await good.close()
    await orders.expectAll()
  })
})

test('after all of this the log of the server has nothing to say', () => {
  expect(orders.warnings()).toEqual([])
})

async function subscriber() {
  const response = await fetch(`${orders.address}/v1/live/orders`)
  const received: string[] = []
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  const reading = (async () => {
    for (let chunk = await reader?.read(); chunk && !chunk.done; chunk = await reader?.read())
      received.push(chunk.value)
  })().catch(() => {})
  return {
    received,
    close: () => {
      void reader?.cancel()
      return reading
    },
  }
}
