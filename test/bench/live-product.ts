import { setTimeout as sleep } from 'node:timers/promises'
import { type Product, startProduct } from './product.ts'

const pipeline = `
name: fan-out
source: { topic: events }
sinks:
  - live: events
`

/** The product with a pipeline that puts what comes to the topic `events` on the channel `events`. */
export function startLiveProduct(): Promise<Product> {
  return startProduct({ 'pipelines/fan-out.yaml': pipeline })
}

export function portOf({ address }: Product): number {
  return Number(new URL(address).port)
}

/** Publishes at this rate, in as few requests as keep it up, until it is disposed of. */
export function publishing(product: Product, perSecond: number, length: number): AsyncDisposable {
  const stop = new AbortController()
  const run = async () => {
    const started = performance.now()
    for (let n = 0; !stop.signal.aborted; ) {
      const due = Math.floor(((performance.now() - started) * perSecond) / 1000)
      const count = Math.min(due - n, 1_000)
      if (count > 0) await publish(product, count, length)
      else await sleep(1)
      n += Math.max(0, count)
    }
  }
  const running = run()
  return {
    async [Symbol.asyncDispose]() {
      stop.abort()
      await running
    },
  }
}

/** So many events, each with a text of this length. */
export async function fill(product: Product, count: number, length: number): Promise<void> {
  for (let n = 0; n < count; n += 500) await publish(product, 500, length)
}

async function publish({ address }: Product, count: number, length: number): Promise<void> {
  const sent = performance.timeOrigin + performance.now()
  const text = 'x'.repeat(length)
  const response = await fetch(`${address}/v1/topics/events/events`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(Array.from({ length: count }, (_, n) => ({ n, sent, text }))),
  })
  if (!response.ok) throw new Error(`publishing: ${response.status} ${await response.text()}`)
  await response.arrayBuffer()
}
