import { createServer } from 'node:http'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import { type WebSocket, WebSocketServer } from 'ws'

/*
 * What one would write without Millrace: every event is sent to every client in a loop. Started with the events a second
 * and the length of a text in each; it tells its parent its port, and begins when it is told to.
 */
const [rate = 0, textLength = 0] = process.argv.slice(2).map(Number)
const clients = new Set<WebSocket>()
const server = createServer()
const sockets = new WebSocketServer({ server, perMessageDeflate: false })
sockets.on('connection', (client) => {
  clients.add(client)
  client.on('close', () => clients.delete(client))
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  process.send?.({ port: typeof address === 'object' ? address?.port : 0 })
})
process.once('message', () => void run())
process.on('disconnect', () => process.exit())

async function run(): Promise<void> {
  const text = 'x'.repeat(textLength)
  const started = performance.now()
  for (let n = 0; ; n++) {
    await sleep(started + (n * 1000) / rate - performance.now())
    const sent = performance.timeOrigin + performance.now()
    const event = { offset: n, id: `events/0/${n}`, time: Date.now(), key: null, value: { n, sent, text } }
    const frame = JSON.stringify(event)
    for (const client of clients) client.send(frame)
    await setImmediate()
  }
}
