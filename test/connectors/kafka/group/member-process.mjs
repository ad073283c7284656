// A member of a group in a process of its own; prints a line per thing that happens. Runs from the built code.
import { writeSync } from 'node:fs'
import { openKafkaLog } from '../../../../dist/connectors/kafka/index.js'

const [address, topic, group, sessionTimeout] = process.argv.slice(2)
const say = (...words) => writeSync(1, `${words.join(' ')}\n`)
const never = new AbortController().signal
const log = await openKafkaLog({
  brokers: [address],
  clientId: 'millrace-test',
  ssl: false,
  sessionTimeout: Number(sessionTimeout),
  linger: 0,
  compression: 'none',
})

for await (const lane of log.source({ topics: [topic], group }).lanes(never)) {
  say('lane', lane.partition.partition, lane.committed.from)
  void work(lane)
}

/** Commits what it reads and, between two reads, as often as it can, the same position again. */
async function work(lane) {
  const { partition } = lane.partition
  let from = lane.committed.from
  lane.revoked.addEventListener('abort', () => say('revoked', partition))
  try {
    for (;;) {
      const records = await lane.read({ events: 10, bytes: 1e6 }, AbortSignal.timeout(20))
      lane.assertOwned()
      from = records.length === 0 ? from : records.at(-1).offset + 1
      await lane.commit({ from, ends: [] })
      say('committed', partition, from, Date.now())
    }
  } catch (error) {
    say('stopped', partition, error.name, error.code)
    try {
      lane.assertOwned()
      say('owned', partition)
    } catch (later) {
      say('not owned', partition, later.name)
    }
  }
}
