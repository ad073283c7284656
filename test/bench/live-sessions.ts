import { setTimeout as sleep } from 'node:timers/promises'
import { type Benchmark, type Figure, quantile } from './figure.ts'
import { fill, portOf, publishing, startLiveProduct } from './live-product.ts'
import { Receivers } from './receivers.ts'

const rounds = 5
const settleMs = 2_000
const windowMs = 8_000

export const stalledReader: Benchmark = {
  name: 'stalled-reader',
  summary: 'what a client that reads nothing does to 999 others',
  run: compare,
}

/** One reader takes nothing, and more waits for it than it may have: what the others get, and when, must stay as it is. */
async function compare(): Promise<readonly Figure[]> {
  const clients = 999
  const without: number[] = []
  const beside: number[] = []
  for (let round = 0; round < rounds; round++) {
    for (const [stalled, delays] of [
      [0, without],
      [1, beside],
    ] as const) {
      await using product = await startLiveProduct()
      const port = portOf(product)
      await using _stalled = await Receivers.open({ port, clients: 1, subscribe: 'events', stalled })
      await fill(product, 5_000, 4_000)
      await using receivers = await Receivers.open({ port, clients, subscribe: 'events' })
      await using _publisher = publishing(product, 50, 1_000)
      await sleep(settleMs)
      delays.push(quantile((await receivers.window(windowMs)).delays, 0.99))
    }
  }
  return [
    { name: '999 subscribers, 50 events/s of 1 kB: delay, p99', value: quantile(without, 0.5), unit: 'ms' },
    { name: 'the same beside one that reads nothing', value: quantile(beside, 0.5), unit: 'ms' },
    {
      name: 'beside one that reads nothing, over without',
      value: quantile(beside, 0.5) / quantile(without, 0.5),
      unit: 'ratio',
      most: 1.2,
      note: `${spread(without)}; ${spread(beside)}`,
    },
  ]
}

export const idleConnections: Benchmark = {
  name: 'idle-connections',
  summary: 'what 10,000 connections take that are subscribed to a channel on which nothing happens',
  run: idle,
}

async function idle(): Promise<readonly Figure[]> {
  const clients = 10_000
  await using product = await startLiveProduct()
  // What the first connections load and compile is not theirs.
  await (await Receivers.open({ port: portOf(product), clients: 200, subscribe: 'idle' }))[Symbol.asyncDispose]()
  const before = await product.memory()
  await using _receivers = await Receivers.open({ port: portOf(product), clients, subscribe: 'idle' })
  await sleep(settleMs * 2)
  const each = ((await product.memory()) - before) * 1024 * 1024
  return [{ name: '10,000 idle connections: memory of each', value: each / clients / 1000, unit: 'kB', most: 30 }]
}

function spread(values: readonly number[]): string {
  return values.map((value) => value.toFixed(1)).join(', ')
}
