import WebSocket from 'ws'
import { call, pipelineStatus, sleep, until } from '../support/api.ts'
import { type Benchmark, type Figure, quantile } from './figure.ts'
import { startProduct } from './product.ts'

const plain = `
name: plain
source: { topic: plain.events }
processors:
  - filter: value.n >= 0
  - map: { n: value.n, text: value.text }
sinks:
  - live: plain
`
const meaning = `
name: meaning
source: { topic: meaning.events }
processors:
  - filter: value.n >= 0
  - embed: { text: value.text, as: meaning }
sinks:
  - live: meaning
`
const events = 1_500
const perSecond = 50
const warmUp = 1_000

/** From the start of the HTTP request to the arrival of the frame, both in this process: one clock. */
export const latency: Benchmark = {
  name: 'latency',
  summary: 'HTTP publish to WebSocket client, embedded, at a low rate',
  async run() {
    await using product = await startProduct({ 'pipelines/plain.yaml': plain, 'pipelines/meaning.yaml': meaning })
    return [
      ...(await measure(product.address, 'plain', 'without embed', 15)),
      ...(await measure(product.address, 'meaning', 'with embed', 50)),
    ]
  },
}

async function measure(address: string, name: string, label: string, most: number): Promise<Figure[]> {
  const sent = new Map<number, number>()
  const took: number[] = []
  const socket = new WebSocket(`${address.replace('http', 'ws')}/v1/live`)
  await new Promise((resolve) => socket.once('open', resolve))
  const subscribed = new Promise<void>((resolve) => {
    socket.on('message', (data) => {
      const message: { type: string; events?: { value: { n: number } }[] } = JSON.parse(String(data))
      if (message.type === 'subscribed') resolve()
      for (const { value } of message.events ?? []) {
        const at = sent.get(value.n)
        if (at !== undefined) took.push(performance.now() - at)
      }
    })
  })
  socket.send(JSON.stringify({ id: 1, type: 'subscribe', channel: name, since: 'latest' }))
  await subscribed
  const publish = async (n: number) => {
    sent.set(n, performance.now())
    const body = JSON.stringify({ n, text: `order ${n} has not arrived and the customer asks where it is` })
    const response = await fetch(`${address}/v1/topics/${name}.events/events`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    })
    await response.arrayBuffer()
  }
  // A process that has been at work for a while: its code is compiled, the model's threads are up.
  for (let n = -1; n >= -warmUp; n--) await publish(n)
  await until(async () => (await call(`${address}/v1/pipelines/${name}`, pipelineStatus)).lag === 0)
  for (let n = 0; n < events; n++) {
    void publish(n)
    await sleep((1000 / perSecond) * (0.5 + Math.random()))
  }
  await sleep(500)
  socket.close()
  if (took.length !== events) throw new Error(`${took.length} of ${events} events came through`)
  return [
    { name: `latency ${label}, median`, value: quantile(took, 0.5), unit: 'ms' },
    { name: `latency ${label}, 99th percentile`, value: quantile(took, 0.99), unit: 'ms', most },
  ]
}
