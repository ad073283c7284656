import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { openEngine } from './engine.ts'
import { textsFrom } from './texts.ts'

/** A sample of a process that embeds, in megabytes. */
export interface MemorySample {
  /** Seconds since the start. */
  readonly at: number
  /** Memory of the process without the files that it maps. */
  readonly anonymous: number
  /** JavaScript objects of the main thread, after a collection where there was one. */
  readonly heap: number
  /** Texts so far. */
  readonly texts: number
}

const textsPerCall = 100
const calls = 4
/** The memory cache is small and full soon, the one on disk changes its generations: neither is still filling in the end. */
const memoryBytes = 2 ** 20
const diskBytes = 32 * 2 ** 20

/** A process of its own: full load of texts of up to so many words, all different, for so many seconds. Prints its samples. */
const [seconds = Number.NaN, mostWords = Number.NaN] = process.argv.slice(2).map(Number)
const folder = await mkdtemp(join(tmpdir(), 'millrace-'))
const engine = await openEngine({ memoryBytes, disk: { folder, maxBytes: diskBytes } })
const samples: MemorySample[] = []
let texts = 0
const started = performance.now()
const elapsed = () => (performance.now() - started) / 1_000

async function load(): Promise<void> {
  while (elapsed() < seconds) {
    const from = texts
    texts += textsPerCall
    // Every text begins with its number, so that none is like another.
    const words = textsFrom(from, textsPerCall, 1, mostWords)
    await engine.embed(words.map((text, index) => `${from + index} ${text}`))
  }
}

async function watch(): Promise<void> {
  while (elapsed() < seconds) {
    await sleep(Math.min(1_000, (seconds * 1_000) / 40))
    globalThis.gc?.()
    const status = await readFile('/proc/self/status', 'utf8')
    const anonymous = Number(/^RssAnon:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) / 1024
    samples.push({ at: elapsed(), anonymous, heap: process.memoryUsage().heapUsed / 2 ** 20, texts })
  }
}

await Promise.all([watch(), ...Array.from({ length: calls }, load)])
await engine.close()
await rm(folder, { recursive: true, force: true })
console.log(JSON.stringify(samples))
