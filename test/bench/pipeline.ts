import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { z } from 'zod'
import { openEmbeddedLog } from '../../connectors/embedded-log/index.ts'
import { call, pipelineStatus, rowsIn, sleep, vectorsIn } from '../support/api.ts'
import { tempFolder } from '../support/cli.ts'
import { type Benchmark, type Figure, quantile } from './figure.ts'
import { type Product, startProduct } from './product.ts'
import { textsFrom } from './texts.ts'

const pipeline = `
name: notes
source: { topic: notes }
processors:
  - embed: { text: value.text, as: meaning }
sinks:
  - clickhouse: { table: notes, columns: { n: UInt64, kind: LowCardinality(String), text: String } }
  - vectors: { collection: notes, vector: meaning, fields: [kind, n] }
  - live: notes
`

interface Kind {
  readonly label: string
  readonly count: number
  readonly words: readonly [least: number, most: number]
}

const mixed: Kind = { label: 'mixed texts', count: 6_000, words: [5, 120] }
const short: Kind = { label: 'short texts', count: 15_000, words: [12, 12] }
const partitions = 8
const rounds = 3
const pollMs = 200
const longestMs = 300_000

/** What came through per second, and the CPU time of the whole process for each, in milliseconds. */
interface Measured {
  readonly rate: number
  readonly cpuMs: number
}

/**
 * Everything runs in turn, several times, in a process of its own: what else the machine does hits all of them. The
 * logs are filled first, with texts that are in no cache.
 */
export const pipelineSpeed: Benchmark = {
  name: 'pipeline',
  summary: 'embed with ClickHouse, vectors and live behind it, beside the embedder alone',
  async run() {
    return [
      ...(await compare(mixed, [
        { label: 'one partition', partitions: 1, least: 0.85 },
        { label: `${partitions} partitions`, partitions, least: 0.85 },
      ])),
      ...(await compare(short, [{ label: 'one partition', partitions: 1 }])),
    ]
  },
}

interface Setup {
  readonly label: string
  readonly partitions: number
  /** The least share of the embedder's speed. */
  readonly least?: number
}

async function compare(kind: Kind, setups: readonly Setup[]): Promise<Figure[]> {
  const alone: Measured[] = []
  const whole = setups.map((): Measured[] => [])
  for (let round = 0; round < rounds; round++) {
    alone.push(await embedderAlone(kind))
    for (const [index, setup] of setups.entries()) whole[index]?.push(await wholePipeline(kind, setup.partitions))
  }
  const engine = median(alone)
  const { label } = kind
  return [
    { name: `${label}: embedder alone`, value: engine.rate, unit: 'texts/s', note: spread(alone) },
    ...setups.flatMap((setup, index): Figure[] => {
      const measured = whole[index] ?? []
      const { rate, cpuMs } = median(measured)
      const { least } = setup
      const name = `${label}, ${setup.label}`
      return [
        { name, value: rate, unit: 'events/s', note: spread(measured) },
        {
          name: `${name}: beside the embedder alone`,
          value: rate / engine.rate,
          unit: 'ratio',
          ...(least && { least }),
        },
        {
          name: `${name}: CPU that is not the embedder's`,
          value: 1 - engine.cpuMs / cpuMs,
          unit: 'ratio',
          note: `${cpuMs.toFixed(2)} ms/event, ${engine.cpuMs.toFixed(2)} ms/text`,
        },
      ]
    }),
  ]
}

function median(all: readonly Measured[]): Measured {
  const of = (values: readonly number[]) => quantile(values, 0.5)
  return { rate: of(all.map(({ rate }) => rate)), cpuMs: of(all.map(({ cpuMs }) => cpuMs)) }
}

function spread(all: readonly Measured[]): string {
  return all.map(({ rate }) => rate.toFixed(0)).join(', ')
}

const measured = z.object({ rate: z.number(), cpuMs: z.number() })

async function embedderAlone({ count, words }: Kind): Promise<Measured> {
  const script = join(import.meta.dirname, 'embed-alone.js')
  const { stdout } = await promisify(execFile)(process.execPath, [script, ...[count, ...words].map(String)])
  return measured.parse(JSON.parse(stdout))
}

async function wholePipeline(kind: Kind, partitions: number): Promise<Measured> {
  await using folder = await tempFolder()
  await fill(join(folder.path, 'data/log'), kind, partitions)
  await using product = await startProduct({ 'pipelines/notes.yaml': pipeline }, { folder: folder.path })
  const steady = await workOff(product, kind.count)
  const { address } = product
  const [rows, vectors] = [await rowsIn(address, 'notes'), await vectorsIn(address, 'notes')]
  if (rows !== kind.count || vectors !== kind.count) throw new Error(`${rows} rows, ${vectors} vectors: ${kind.count}`)
  return steady
}

async function fill(data: string, { count, words }: Kind, partitions: number): Promise<void> {
  const log = await openEmbeddedLog(data)
  await log.ensureTopic('notes', { partitions })
  const records = textsFrom(0, count, ...words).map((text, n) => ({
    key: Buffer.from(String(n)),
    value: Buffer.from(JSON.stringify({ n, kind: n % 3 === 0 ? 'question' : 'answer', text })),
  }))
  await log.append('notes', records)
  await log.close()
}

interface Sample {
  readonly at: number
  readonly done: number
  readonly cpuMs: number
}

/** From the first events that are committed to the last ones before the lanes run dry. */
async function workOff(product: Product, count: number): Promise<Measured> {
  const samples: Sample[] = []
  const deadline = performance.now() + longestMs
  for (let lag = count; lag > 0; ) {
    if (performance.now() > deadline) throw new Error(`${lag} events are not worked off`)
    const status = await call(`${product.address}/v1/pipelines/notes`, pipelineStatus)
    lag = count - status.totals.written
    const done = status.totals.written
    if (done !== (samples.at(-1)?.done ?? 0)) samples.push({ at: performance.now(), done, cpuMs: await cpuMs(product) })
    await sleep(pollMs)
  }
  const first = samples[0]
  const last = samples.findLast(({ done }) => done <= count * 0.95)
  if (!first || !last || first === last) throw new Error('too few events to measure')
  const events = last.done - first.done
  return { rate: (events * 1000) / (last.at - first.at), cpuMs: (last.cpuMs - first.cpuMs) / events }
}

const msPerTick = 10

async function cpuMs({ cli }: Product): Promise<number> {
  const stat = await readFile(`/proc/${cli.pid}/stat`, 'utf8')
  const [user = 0, system = 0] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13)
    .map(Number)
  return (user + system) * msPerTick
}
