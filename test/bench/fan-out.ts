import { type ChildProcess, fork } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Benchmark, type Figure, quantile } from './figure.ts'
import { portOf, publishing, startLiveProduct } from './live-product.ts'
import { Receivers, type Window } from './receivers.ts'

const textLength = 120
/** Offered deliveries a second: far more than the plain loop can do. */
const offered = 2_000_000
const rounds = 3
const warmUpMs = 2_000
const windowMs = 4_000
const subscribers = [1_000, 10_000]

/** The same events, at the same rate, to the same receivers; what arrives there a second, in turn. */
export const fanOut: Benchmark = {
  name: 'fan-out',
  summary: 'one channel with 1,000 and 10,000 subscribers, beside a plain loop over the clients of ws',
  async run() {
    const figures: Figure[] = []
    for (const clients of subscribers) figures.push(...(await compare(clients)))
    return [...figures, ...(await oneByOne())]
  },
}

async function compare(clients: number): Promise<Figure[]> {
  const loops: Window[] = []
  const ours: Window[] = []
  for (let round = 0; round < rounds; round++) {
    loops.push(await withLoop(clients, offered / clients, arriving))
    ours.push(await withMillrace(clients, offered / clients, arriving))
  }
  const of = (windows: readonly Window[]) =>
    quantile(
      windows.map(({ rate }) => rate),
      0.5,
    )
  const label = `${clients.toLocaleString('en')} subscribers`
  const missed = Math.max(...ours.map((window) => window.missed))
  const perFrame = quantile(
    ours.map(({ eventsPerFrame }) => eventsPerFrame),
    0.5,
  )
  return [
    { name: `${label}: plain loop`, value: of(loops), unit: 'deliveries/s' },
    {
      name: `${label}: Millrace`,
      value: of(ours),
      unit: 'deliveries/s',
      note: `${perFrame.toFixed(0)} events a frame, ${(missed * 100).toFixed(1)} % missed`,
    },
    { name: `${label}: beside the plain loop`, value: of(ours) / of(loops), unit: 'ratio', least: 3 },
  ]
}

const arriving = (_pid: number, receivers: Receivers) => receivers.window(windowMs)

type Measure<T> = (pid: number, receivers: Receivers) => Promise<T>

async function withLoop<T>(clients: number, perSecond: number, measure: Measure<T>): Promise<T> {
  const child = fork(join(import.meta.dirname, 'plain-loop.js'), [String(perSecond), String(textLength)])
  try {
    const port = await portSaidBy(child)
    await using receivers = await Receivers.open({ port, clients })
    child.send('go')
    await sleep(warmUpMs)
    return await measure(child.pid ?? 0, receivers)
  } finally {
    child.kill('SIGKILL')
  }
}

function portSaidBy(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('message', ({ port }: { port: number }) => resolve(port))
    child.once('exit', (code) => reject(new Error(`the plain loop ended with ${code}`)))
  })
}

async function withMillrace<T>(clients: number, perSecond: number, measure: Measure<T>): Promise<T> {
  await using product = await startLiveProduct()
  await using receivers = await Receivers.open({ port: portOf(product), clients, subscribe: 'events' })
  await using _publisher = publishing(product, perSecond, textLength)
  await sleep(warmUpMs)
  return await measure(product.cli.pid, receivers)
}

/** What both take of a core for each delivery while events come one at a time, so that each is a frame of its own. */
async function oneByOne(): Promise<Figure[]> {
  const clients = 1_000
  const perSecond = 40
  const loops: number[] = []
  const ours: number[] = []
  for (let round = 0; round < rounds; round++) {
    loops.push(await withLoop(clients, perSecond, cpuOfDelivery))
    ours.push(await withMillrace(clients, perSecond, cpuOfDelivery))
  }
  const [loop, our] = [quantile(loops, 0.5), quantile(ours, 0.5)]
  return [
    { name: 'events one at a time: plain loop, CPU of a delivery', value: loop, unit: 'µs' },
    { name: 'events one at a time: Millrace, log and pipeline included', value: our, unit: 'µs', note: spread(ours) },
  ]
}

async function cpuOfDelivery(pid: number, receivers: Receivers): Promise<number> {
  const before = await cpuMs(pid)
  const events = receivers.events
  await sleep(windowMs)
  return (((await cpuMs(pid)) - before) * 1000) / (receivers.events - events)
}

/** User and system time of a process so far (proc(5)); a tick is 10 ms on Linux. */
async function cpuMs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

function spread(values: readonly number[]): string {
  return values.map((value) => value.toFixed(1)).join(', ')
}
