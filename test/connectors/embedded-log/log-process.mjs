// Another process on the same log; prints a line per thing that happened. Runs from the built code.
import { writeSync } from 'node:fs'
import { openEmbeddedLiveLog, openEmbeddedLog } from '../../../dist/connectors/embedded-log/index.js'

const [task, folder, name, leaseMs = '10000'] = process.argv.slice(2)
const say = (...words) => writeSync(1, `${words.join(' ')}\n`)
const log = await openEmbeddedLog(folder, { leaseMs: Number(leaseMs), maintenanceMs: 5 })
const never = new AbortController().signal

/** Appends until it is killed, with several calls at a time, and prints each record once it was answered. */
async function append(worker) {
  for (let n = 0; ; n++) {
    const values = Array.from({ length: 1 + (n % 4) }, (_, index) => `${name}-${worker}-${n}-${index}`)
    const records = values.map((value) => ({ key: null, value: Buffer.from(value.padEnd(20 + (n % 7) * 300)) }))
    const positions = await log.append('t', records, {
      once: { producer: `${name}-${worker}`, sequence: n },
      state: { scope: name, changes: [{ key: String(worker), value: n }] },
    })
    for (const [index, value] of values.entries()) say(positions[index].offset, value)
  }
}

/** Reads and commits as a member of the group, and prints each commit once it was answered. */
async function consume() {
  for await (const lane of log.source({ topics: ['t'], group: name }).lanes(never)) {
    say('lane', lane.partition.partition, lane.committed.from)
    work(lane).catch((error) => say('stopped', lane.partition.partition, error.code))
  }
}

async function work(lane) {
  for (;;) {
    const records = await lane.read({ events: 10, bytes: 1e6 }, never)
    await new Promise((resolve) => setTimeout(resolve, 5))
    lane.assertOwned()
    const from = records.at(-1).offset + 1
    await lane.commit({ from, ends: [] }, [{ key: 'count', value: from }])
    say('committed', lane.partition.partition, from)
  }
}

async function live() {
  const channel = await openEmbeddedLiveLog(folder)
  for (let n = 0; ; n++) {
    await channel.append('c', name, [{ id: `${name}-${n}`, key: null, value: n, timestamp: 0 }], [n])
    say(n)
  }
}

if (task === 'append') for (let worker = 0; worker < 5; worker++) void append(worker)
if (task === 'consume') await consume()
if (task === 'live') await live()
