import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CachingEmbedder } from '../../src/embedding/embedder.ts'
import { openEngine } from './engine.ts'
import { type Benchmark, type Figure, quantile } from './figure.ts'
import { textsFrom } from './texts.ts'

const warmUpTexts = 64
const queries = 100
const queriesUnderLoad = 100
/** So much bulk work that it outlasts the queries; what is left is given up. */
const load = 20_000

/** The embedder alone: how soon, how fast, and how little it holds up the main thread. */
export const embedding: Benchmark = {
  name: 'embedding',
  summary: 'the embedder alone, on as many threads as it takes by itself',
  async run() {
    const started = performance.now()
    const embedder = await openEngine()
    try {
      await embedder.embed(['the first text'], { priority: 'query' })
      const first: Figure = { name: 'first vector after the start', value: performance.now() - started, unit: 'ms' }
      await embedder.embed(texts(warmUpTexts, 5, 60))
      return [
        first,
        ...(await throughput(embedder, 'short texts (12 words)', texts(2_000, 12, 12))),
        ...(await throughput(embedder, 'long texts (150 words)', texts(200, 150, 150))),
        ...(await throughput(embedder, 'mixed texts (5 to 120 words)', texts(600, 5, 120))),
        ...(await idleQuery(embedder)),
        ...(await queryUnderLoad(embedder)),
        await cached(),
      ]
    } finally {
      await embedder.close()
    }
  },
}

async function throughput(embedder: CachingEmbedder, name: string, given: readonly string[]): Promise<Figure[]> {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const before = embedder.stats().tokens
  const started = performance.now()
  await embedder.embed(given)
  const seconds = (performance.now() - started) / 1e3
  delay.disable()
  return [
    { name: `${name}: texts`, value: given.length / seconds, unit: 'texts/s' },
    { name: `${name}: tokens`, value: (embedder.stats().tokens - before) / seconds, unit: 'tokens/s' },
    { name: `${name}: delay of the main thread, p99`, value: delay.percentile(99) / 1e6, unit: 'ms', most: 20 },
  ]
}

async function idleQuery(embedder: CachingEmbedder): Promise<Figure[]> {
  const took = await timed(embedder, texts(queries, 8, 12))
  return [
    { name: 'a query while idle, median', value: quantile(took, 0.5), unit: 'ms' },
    { name: 'a query while idle, p99', value: quantile(took, 0.99), unit: 'ms' },
  ]
}

async function queryUnderLoad(embedder: CachingEmbedder): Promise<Figure[]> {
  const caller = new AbortController()
  const bulk = embedder.embed(texts(load, 5, 120), { signal: caller.signal }).catch(() => [])
  await sleep(200)
  const took = await timed(embedder, texts(queriesUnderLoad, 8, 12))
  if (embedder.stats().queueDepth === 0) throw new Error('the bulk work was over before the queries')
  caller.abort()
  await bulk
  return [
    { name: 'a query during bulk work, median', value: quantile(took, 0.5), unit: 'ms' },
    { name: 'a query during bulk work, p99', value: quantile(took, 0.99), unit: 'ms', most: 60 },
  ]
}

async function timed(embedder: CachingEmbedder, given: readonly string[]): Promise<number[]> {
  const times: number[] = []
  for (const text of given) {
    const started = performance.now()
    await embedder.embed([text], { priority: 'query' })
    times.push(performance.now() - started)
  }
  return times
}

async function cached(): Promise<Figure> {
  const embedder = await openEngine({ memoryBytes: 64 * 2 ** 20 })
  const known = texts(200, 5, 60)
  await embedder.embed(known)
  const rounds = 50
  const started = performance.now()
  for (let round = 0; round < rounds; round++) await embedder.embed(known)
  const seconds = (performance.now() - started) / 1e3
  await embedder.close()
  return {
    name: 'texts that are in the cache',
    value: (rounds * known.length) / seconds,
    unit: 'texts/s',
    least: 200_000,
  }
}

let made = 0

/** Texts of so many words, every one different, and the same ones in every run of the program. */
function texts(count: number, leastWords: number, mostWords: number): string[] {
  made += count
  return textsFrom(made - count, count, leastWords, mostWords)
}
