import { parseArgs } from 'node:util'
import { startClickHouseServer } from '../services/clickhouse-server.ts'
import { startKafka } from '../services/kafka.ts'
import { startMilvus } from '../services/milvus.ts'
import { type TrialOptions, trial } from './trial.ts'

const help = `Publishes events to Kafka while everything that reads them is killed, frozen, added, removed and restarted, and counts
how often each is in ClickHouse and in Milvus. Then the same without the journal, to show that it can fail.

  npm run soak
  npm run soak -- --minutes 60 --events 2000000 --processes 4
`
const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    events: { type: 'string', default: '200000' },
    partitions: { type: 'string', default: '12' },
    processes: { type: 'string', default: '3' },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  console.log(help)
  process.exit(0)
}

const started = Date.now()
const log = (line: string) => console.log(`${((Date.now() - started) / 1000).toFixed(1).padStart(7)} s  ${line}`)
await using kafka = await startKafka()
await using milvus = await startMilvus()
await using clickhouse = await startClickHouseServer()
const options: Omit<TrialOptions, 'events' | 'durationMs' | 'journal'> = {
  partitions: Number(values.partitions),
  processes: Number(values.processes),
  kafka,
  clickhouse,
  milvus: milvus.address,
  log,
}
const events = Number(values.events)
const durationMs = Number(values.minutes) * 60_000
log(`with the journal: ${events} events in ${values.minutes} minutes`)
const held = await trial({ ...options, events, durationMs, journal: true })
console.log(JSON.stringify({ ...held, outputs: undefined }, undefined, 2))
log('without the journal, for a tenth of that')
const broken = await trial({ ...options, events: events / 10, durationMs: durationMs / 10, journal: false })
console.log(JSON.stringify({ ...broken, outputs: undefined }, undefined, 2))
const exact = [held.clickhouse, held.vectors].every(({ missing, doubled }) => missing === 0 && doubled === 0)
log(exact ? 'every event is in each sink once' : 'events are missing or doubled')
if (broken.clickhouse.doubled === 0)
  log('without the journal nothing was doubled this time: more trouble is needed to show it')
if (!exact) console.error(held.outputs)
process.exitCode = exact ? 0 : 1
