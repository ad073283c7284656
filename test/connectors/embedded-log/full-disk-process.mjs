// Fills the disk that holds the folder, makes room, and goes on. Prints what happened as JSON. Runs from the built code.
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openEmbeddedLiveLog, openEmbeddedLog } from '../../../dist/connectors/embedded-log/index.js'

const [folder] = process.argv.slice(2)
const filler = join(folder, 'filler')
writeFileSync(filler, Buffer.alloc(16 * 1024 * 1024))
const log = await openEmbeddedLog(folder)
const live = await openEmbeddedLiveLog(folder)
await log.ensureTopic('t')
const lane = await firstLane()
const outcome = { errors: [], accepted: 0, stored: 0, committedWhenFull: false, liveError: undefined }

async function firstLane() {
  for await (const found of log.source({ topics: ['t'], group: 'g' }).lanes(new AbortController().signal)) return found
}
async function append(size) {
  const positions = await log.append('t', [{ key: null, value: Buffer.alloc(size, outcome.accepted) }])
  outcome.accepted += positions.length
}
async function fill(size) {
  for (;;) await append(size)
}

await Promise.all(
  [300_000, 20_000].map((size) =>
    fill(size).catch((error) => outcome.errors.push([error.constructor.name, error.code, error.message])),
  ),
)
await lane.commit({ from: 1, ends: [] })
outcome.committedWhenFull = (await log.groups())[0].committed.from === 1
// A part of the reserve is gone, so that not even a small append fits.
await live
  .append('c', 'lane', [{ id: 'a', key: null, value: 'x'.repeat(5_000_000), timestamp: 0 }], [1])
  .catch((error) => {
    outcome.liveError = error.code
  })
rmSync(filler)
for (let n = 0; n < 20; n++) await append(100_000)
await live.append('c', 'lane', [{ id: 'a', key: null, value: 1, timestamp: 0 }], [1])
outcome.live = (await live.read('c', 0, 10)).length
for (let from = 0; ; ) {
  const records = await log.read({ topic: 't', partition: 0 }, from, { events: 100, bytes: 1e7 })
  if (records.length === 0) break
  outcome.stored += records.length
  from = records.at(-1).offset + 1
}
await log.close()
await live.close()
process.stdout.write(JSON.stringify(outcome))
