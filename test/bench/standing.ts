import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { openEmbeddedLiveLog } from '../../connectors/embedded-log/index.ts'
import type { Processor } from '../../src/core/component.ts'
import type { Embedder } from '../../src/core/embedder.ts'
import { type Event, noHeaders } from '../../src/core/event.ts'
import type { LaneState } from '../../src/core/state.ts'
import { createExpressions } from '../../src/expressions/index.ts'
import { Gate } from '../../src/live/gate.ts'
import { Hub } from '../../src/live/hub.ts'
import type { Connection } from '../../src/live/subscription.ts'
import { classify } from '../../src/processors/classify.ts'
import type { Kernel } from '../../src/similarity/kernel.ts'
import { loops } from '../../src/similarity/loops.ts'
import { fastestKernel } from '../../src/similarity/native.ts'
import { tempFolder } from '../support/cli.ts'
import { type Benchmark, type Figure, quantile } from './figure.ts'

const dimension = 384
const standing = 10_000
/** A lane's batches are about so far apart, and hold what has come in meanwhile. */
const batchMs = 50
const batchEvents = 50
const batches = 200

/** Everything that comes is compared with everything that stands: the share of a core that this takes at 1,000 events/s. */
export const standingSpeed: Benchmark = {
  name: 'standing',
  summary: '10,000 labels, and 10,000 standing queries, against 1,000 events/s that have their vectors',
  async run() {
    return [...(await labels()), ...(await queries(standing)), ...(await queries(1)), ...(await kernels())]
  },
}

async function labels(): Promise<Figure[]> {
  const processor = await classifier()
  const given = Array.from({ length: batches }, (_, index) => events(index))
  await classified(processor, given[0] ?? [])
  return await paced('labels', given, (batch) => classified(processor, batch))
}

async function classified(processor: Processor, batch: readonly Event[]): Promise<void> {
  await processor.process(batch, { state: noState, signal: new AbortController().signal })
}

async function classifier(): Promise<Processor> {
  const services = Object.create(null, { embedder: { value: () => Promise.resolve(fakeEmbedder) } })
  const names = Object.fromEntries(Array.from({ length: standing }, (_, index) => [`label ${index}`, `words ${index}`]))
  const options = { vector: 'meaning', labels: names, minScore: 0.3, otherwise: 'other' }
  return await classify.create(options, {
    pipeline: 'bench',
    component: 'classify',
    services,
    expressions: createExpressions(),
  })
}

/** Through the hub, with a live log on disk: append, follow, compare, hand out. */
async function queries(count: number): Promise<Figure[]> {
  await using folder = await tempFolder()
  const log = await openEmbeddedLiveLog(folder.path)
  const noEmbedder = () => Promise.reject(new Error('every query comes with its vector'))
  const logger = { warn: console.error, error: console.error }
  const expressions = createExpressions()
  const hub = new Hub({ log: async () => log, embedder: noEmbedder, expressions, logger, standingQueries: count })
  const subscriber = { rows: undefined, embeddings: new Gate(1) }
  const connection = new CountingConnection()
  for (let index = 0; index < count; index++) {
    // One event in ten is near one of the queries.
    const similar = { vector: [...unitVector(index * 10)], minScore: 0.6 }
    const { subscription } = await hub.subscribe(`${index}`, 'events', { similar }, connection, subscriber)
    subscription.start()
  }
  let offset = 0
  const append = async (batch: readonly Event[]) => {
    const live = batch.map(({ id, key, value, timestamp, vectors }) => ({
      id,
      key,
      value,
      timestamp,
      vector: vectors.meaning,
    }))
    await log.append(
      'events',
      'lane',
      live,
      batch.map(() => offset++),
    )
  }
  await append(events(batches))
  const figures = await paced(
    count === 1 ? 'a single standing query, for comparison' : 'standing queries',
    Array.from({ length: batches }, (_, index) => events(index)),
    append,
  )
  await hub.close()
  await log.close()
  if (count > 1 && connection.events === 0) throw new Error('no query has matched anything')
  return figures
}

/** Hands out the batches at their times, and says what that took of a core. */
async function paced(
  name: string,
  given: readonly (readonly Event[])[],
  take: (batch: readonly Event[]) => Promise<void>,
): Promise<Figure[]> {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  const times: number[] = []
  delay.enable()
  const before = process.cpuUsage()
  const started = performance.now()
  for (const [index, batch] of given.entries()) {
    await sleep(started + index * batchMs - performance.now())
    const begun = performance.now()
    await take(batch)
    times.push(performance.now() - begun)
  }
  const { user, system } = process.cpuUsage(before)
  const elapsed = performance.now() - started
  delay.disable()
  const rate = (given.length * batchEvents * 1e3) / elapsed
  const note = `at ${Math.round(rate)} events/s; a batch takes ${quantile(times, 0.5).toFixed(1)} ms (median)`
  return [
    { name: `${name}: share of a core`, value: (user + system) / 1e3 / elapsed, unit: 'ratio', most: 0.5, note },
    { name: `${name}: delay of the main thread, p99`, value: delay.percentile(99) / 1e6, unit: 'ms', most: 20 },
  ]
}

/** What a batch costs each kernel, in turn, so that the machine is the same for both. */
async function kernels(): Promise<Figure[]> {
  const rows = joined(standing, 1)
  const vectors = joined(batchEvents, 7)
  const products = new Float32Array(standing * batchEvents)
  const native = await fastestKernel()
  const times: { readonly native: number[]; readonly loops: number[] } = { native: [], loops: [] }
  for (let round = 0; round < 9; round++) {
    times.native.push(await timed(native, rows, vectors, products))
    times.loops.push(await timed(loops, rows, vectors, products))
  }
  const share = (taken: readonly number[]) => quantile(taken, 0.5) / batchMs
  return [
    { name: 'products alone, native kernel: share of a core', value: share(times.native), unit: 'ratio' },
    { name: 'products alone, plain loops: share of a core', value: share(times.loops), unit: 'ratio' },
    {
      name: 'native kernel over plain loops',
      value: share(times.loops) / share(times.native),
      unit: 'ratio',
      least: 4,
    },
  ]
}

/** Milliseconds of a core. */
async function timed(kernel: Kernel, rows: Float32Array, vectors: Float32Array, products: Float32Array) {
  const before = process.cpuUsage()
  const step = Math.floor(kernel.multiplyAdds / vectors.length)
  for (let row = 0; row < standing; row += step) {
    await kernel.multiply({
      rows: rows.subarray(row * dimension, (row + step) * dimension),
      vectors,
      dimension,
      products: products.subarray(row * batchEvents, (row + step) * batchEvents),
    })
  }
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1e3
}

function events(batch: number): Event[] {
  return Array.from({ length: batchEvents }, (_, index) => {
    const offset = batch * batchEvents + index
    return {
      id: `events/0/${offset}`,
      key: null,
      value: { n: offset },
      headers: noHeaders,
      timestamp: 1_700_000_000_000 + offset,
      position: { topic: 'events', partition: 0, offset },
      vectors: { meaning: unitVector(offset) },
    }
  })
}

function joined(count: number, seed: number): Float32Array {
  const values = new Float32Array(count * dimension)
  for (let index = 0; index < count; index++) values.set(unitVector(seed + index), index * dimension)
  return values
}

/** A direction for each seed, the same in every run; any two are nearly at right angles. */
function unitVector(seed: number): Float32Array {
  let state = Math.imul(seed + 1, 2_654_435_761) >>> 0
  const vector = Float32Array.from({ length: dimension }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return (state >>> 8) / 2 ** 23 - 1
  })
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0))
  return vector.map((value) => value / length)
}

/** Stands for the model: the labels' vectors are not what is measured. */
const fakeEmbedder: Embedder = {
  model: 'fake',
  fingerprint: 'fake',
  prefixes: { query: '', passage: '' },
  dimension,
  maxTokens: 256,
  embed: async (texts) => texts.map((text) => unitVector(Number(text.replace('words ', '')) * 10)),
  countTokens: async (texts) => texts.map(() => 1),
  close: async () => {},
}

const noState: LaneState = { get: async (keys) => keys.map(() => undefined), set: () => {} }

/** A client that takes everything at once. */
class CountingConnection implements Connection {
  readonly ready = true
  readonly reading = new Gate(1)
  events = 0

  sendEvents(_frame: Uint8Array, _subscription: unknown, events: number): void {
    this.events += events
  }
  frame(): Uint8Array {
    return new Uint8Array(0)
  }
  sharedFrame(): Uint8Array {
    return new Uint8Array(0)
  }
  sendMessage(): void {}
  wake(): void {}
  skipped(): void {}
  restart(): void {}
  ended(): void {}
  fail(error: unknown): void {
    throw error
  }
}
