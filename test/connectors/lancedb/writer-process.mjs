// Upserts and deletes until it is killed, and prints each change once it was answered (a delete with `?` before it is tried). Runs from the built code.
import { writeSync } from 'node:fs'
import { openLanceDb } from '../../../dist/connectors/lancedb/index.js'

const [folder, round] = process.argv.slice(2)
const store = await openLanceDb(folder)
const collection = await store.open({ name: 'killed', fingerprint: 'model', dimension: 4, fields: ['round', 'n'] })

function points(ids, n) {
  return ids.map((id) => ({
    id,
    vector: Float32Array.of(1, n % 7, 2, 3),
    fields: { round: Number(round), n },
    timestamp: n,
    position: { topic: 't', partition: 0, offset: n },
  }))
}

async function work(worker) {
  for (let n = 0; ; n++) {
    const fresh = Array.from({ length: 1 + (n % 5) }, (_, index) => `${round}-${worker}-${n}-${index}`)
    await collection.upsert(points([...fresh, `hot-${n % 10}`], n))
    writeSync(1, `${fresh.map((id) => `+${id}\n`).join('')}+hot-${n % 10}\n`)
    if (n % 4 === 3) {
      writeSync(1, `?${fresh[0]}\n`)
      await collection.delete([fresh[0]])
      writeSync(1, `-${fresh[0]}\n`)
    }
  }
}

await Promise.all([work(0), work(1), work(2)])
