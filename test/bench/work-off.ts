import { call, pipelineStatus, rowsIn, until } from '../support/api.ts'
import { amount } from './orders.ts'
import type { Product } from './product.ts'

interface Sample {
  readonly read: number
  readonly at: number
  readonly memory: number
}

export interface WorkedOff {
  /** Events per second, from the first that was read to the last. */
  readonly rate: number
  /** While it was reading; `memory` in megabytes. */
  readonly samples: readonly Sample[]
  readonly last: Sample
}

const longestMs = 180_000

/** Waits until the pipeline `orders` has put so many events into its table, all that pass its filter, and measures it. */
export async function workOff(product: Product, events: number): Promise<WorkedOff> {
  const all: Sample[] = []
  await until(async () => {
    const { totals, lag } = await call(`${product.address}/v1/pipelines/orders`, pipelineStatus)
    all.push({ read: totals.read, at: performance.now(), memory: await product.memory() })
    return lag === 0 && totals.read >= events
  }, longestMs)
  const rows = await rowsIn(product.address, 'orders')
  const expected = Array.from({ length: events }, (_, n) => amount(n)).filter((value) => value > 5).length
  if (rows !== expected) throw new Error(`${rows} rows for ${expected} events`)
  const samples = all.filter(({ read }) => read > 0)
  const first = samples[0]
  const last = samples.at(-1)
  if (!first || !last) throw new Error('nothing was read')
  return { rate: ((last.read - first.read) * 1000) / (last.at - first.at), samples, last }
}
