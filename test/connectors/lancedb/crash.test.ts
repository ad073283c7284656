import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openLanceDb } from '../../../connectors/lancedb/index.ts'

const program = fileURLToPath(new URL('./writer-process.mjs', import.meta.url))
let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-lancedb-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

/** What was answered before the process was killed, `delayMs` after its first answer (or its start, if `early`). */
async function runAndKill(round: number, delayMs: number, early: boolean): Promise<string[]> {
  const child = spawn(process.execPath, [program, folder, String(round)], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  const answered = new Promise<void>((resolve) => {
    child.stdout.on('data', (chunk) => {
      output += String(chunk)
      resolve()
    })
  })
  const closed = once(child, 'close')
  if (!early) await Promise.race([answered, closed])
  await sleep(delayMs)
  child.kill('SIGKILL')
  await closed
  expect(child.signalCode).toBe('SIGKILL')
  return output.split('\n').slice(0, -1)
}

test('after SIGKILL at any moment every answered change is there, exactly once', async () => {
  const present = new Set<string>()
  const absent = new Set<string>()
  for (let round = 0; round < 8; round++) {
    // Some die while they start, when the table may be half made; the others at some point of writing or compacting.
    const early = round % 4 === 0
    for (const line of await runAndKill(round, early ? 150 + round * 40 : 40 + ((round * 397) % 700), early)) {
      const id = line.slice(1)
      if (line.startsWith('+')) present.add(id)
      else present.delete(id)
      if (line.startsWith('-')) absent.add(id)
    }
    const store = await openLanceDb(folder)
    const collection = await store.open({ name: 'killed', fingerprint: 'model', dimension: 4, fields: ['round'] })
    const count = await collection.count()
    const found = await collection.search({ vector: Float32Array.of(1, 1, 2, 3), k: 10_000 })
    await store.close()
    const ids = new Set(found.map(({ id }) => id))
    expect(ids.size).toBe(found.length)
    expect(count).toBe(found.length)
    expect([...present].filter((id) => !ids.has(id))).toEqual([])
    expect([...absent].filter((id) => ids.has(id))).toEqual([])
  }
  expect(present.size).toBeGreaterThan(100)
  expect(absent.size).toBeGreaterThan(10)
})
