import { join } from 'node:path'
import { openEmbeddedLog } from '../../connectors/embedded-log/index.ts'
import { tempFolder } from '../support/cli.ts'
import type { Benchmark } from './figure.ts'
import { order } from './orders.ts'
import { startProduct } from './product.ts'
import { workOff } from './work-off.ts'

const pipeline = `
name: orders
source: { topic: orders }
processors:
  - filter: value.amount > 5
  - map: { order: value.order, customer: value.customer.id, amount: value.amount * 100, country: value.customer.country }
sinks:
  - clickhouse:
      table: orders
      columns: { at: { type: DateTime64(3), from: timestamp }, order: UInt64, customer: String, amount: Float64, country: LowCardinality(String) }
`
const events = 2_000_000
const batch = 5_000

/** The log is filled first, so that the figure is the pipeline's alone. */
export const throughput: Benchmark = {
  name: 'throughput',
  summary: 'log, filter, map, ClickHouse; memory over two million events',
  async run() {
    await using folder = await tempFolder()
    await fill(join(folder.path, 'data/log'))
    await using product = await startProduct({ 'pipelines/orders.yaml': pipeline }, { folder: folder.path })
    const { rate, samples, last } = await workOff(product, events)
    const memoryAt = (share: number) => samples.find(({ read }) => read >= share * events)?.memory ?? Number.NaN
    const peak = Math.max(...samples.map(({ memory }) => memory))
    return [
      {
        name: 'log → filter → map → ClickHouse',
        value: rate,
        unit: 'events/s',
        least: 50_000,
      },
      { name: 'memory after 500,000 events', value: memoryAt(0.25), unit: 'MB' },
      { name: 'memory after 2,000,000 events', value: last.memory, unit: 'MB' },
      {
        name: 'memory, peak over that after a quarter',
        value: peak / memoryAt(0.25),
        unit: 'ratio',
        most: 1.25,
      },
    ]
  },
}

async function fill(data: string): Promise<void> {
  const log = await openEmbeddedLog(data)
  await log.ensureTopic('orders')
  for (let n = 0; n < events; n += batch) {
    const records = Array.from({ length: batch }, (_, index) => ({
      key: null,
      value: Buffer.from(JSON.stringify(order(n + index))),
    }))
    await log.append('orders', records)
  }
  await log.close()
}
