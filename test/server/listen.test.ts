import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { type AccessSettings, createAccess } from '../../src/access/index.ts'
import { defaultServerLimits, listen } from '../../src/server/index.ts'
import { Socket } from '../live/socket.ts'
import { type Harness, json, startServer } from './harness.ts'

const open: Harness[] = []
afterEach(async () => {
  for (const harness of open.splice(0)) await harness[Symbol.asyncDispose]()
})
async function server(): Promise<Harness> {
  const harness = await startServer()
  open.push(harness)
  return harness
}
async function contextOf({ live }: Harness, settings: AccessSettings = {}) {
  const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
  return { live, access: await createAccess(settings), log, limits: defaultServerLimits }
}

test('a port in use says so, and what to do', async () => {
  const harness = await server()
  const port = Number(new URL(harness.address).port)
  await expect(listen(harness.app, await contextOf(harness), { host: '127.0.0.1', port })).rejects.toMatchObject({
    code: 'port_in_use',
    message: expect.stringContaining(String(port)),
    hint: expect.stringContaining('server.port'),
  })
})

test('an address that others can reach needs a token', async () => {
  const harness = await server()
  for (const host of ['0.0.0.0', '::', '10.1.2.3', 'millrace.example']) {
    await expect(listen(harness.app, await contextOf(harness), { host, port: 0 })).rejects.toMatchObject({
      code: 'auth_required',
    })
  }
  const listening = await listen(harness.app, await contextOf(harness, { token: 't' }), { host: '0.0.0.0', port: 0 })
  await listening.close()
})

test('an address of another machine is named', async () => {
  const harness = await server()
  const options = { host: '192.0.2.1', port: 0 }
  await expect(listen(harness.app, await contextOf(harness, { token: 't' }), options)).rejects.toMatchObject({
    code: 'host_unknown',
  })
})

test('a client that goes away while it sends is no failure of the server', async () => {
  const harness = await server()
  await harness.fetch('/v1/topics', json({ name: 'tickets' }))
  for (const length of ['Content-Length: 1000', 'Transfer-Encoding: chunked']) {
    const client = connect(Number(new URL(harness.address).port), '127.0.0.1')
    client.write(`POST /v1/topics/tickets/events HTTP/1.1\r\nHost: localhost\r\n${length}\r\n\r\n1\r\n[`)
    await new Promise((resolve) => setTimeout(resolve, 50))
    client.destroy()
  }
  await expect.poll(async () => await harness.metrics.text()).toMatch(/seconds_count\{.*events",status="400"\} 2/)
  expect(harness.errors).toEqual([])
})

test('what HEAD asks for holds nothing', async () => {
  const harness = await server()
  const head = await harness.fetch('/v1/live/tickets', { method: 'HEAD' })
  expect(head.headers.get('content-type')).toBe('text/event-stream')
  expect(await harness.metrics.text()).toMatch(/^millrace_live_sessions\{transport="sse"\} 0$/m)
})

test('a refused WebSocket that its client does not close does not keep the server from closing', async () => {
  const harness = await startServer()
  const client = connect({ port: Number(new URL(harness.address).port), host: '127.0.0.1', allowHalfOpen: true })
  client.write('GET // HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  const [answer] = await once(client, 'data')
  expect(String(answer)).toMatch(/^HTTP\/1.1 404 /)
  await harness[Symbol.asyncDispose]()
  client.destroy()
})

test('closing lets a request in flight finish, and tells live clients to come back', async () => {
  const harness = await server()
  await harness.fetch('/v1/topics', json({ name: 'tickets' }))
  const socket = await Socket.open(harness.address)
  socket.send({ id: 1, type: 'subscribe', channel: 'tickets' })
  await socket.reply(1)
  const stream = await harness.fetch('/v1/live/tickets')
  const others = ['/v1/pipelines?watch=true', '/v1/topics/tickets/tail'].map(async (path) =>
    (await harness.fetch(path)).text(),
  )
  let finish: (chunk: string) => void = () => undefined
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      finish = (chunk) => {
        controller.enqueue(new TextEncoder().encode(chunk))
        controller.close()
      }
    },
  })
  const init: RequestInit = { method: 'POST', body, duplex: 'half', headers: { 'content-type': 'application/json' } }
  const inFlight = harness.fetch('/v1/topics/tickets/events', init)
  await new Promise((resolve) => setTimeout(resolve, 50))
  const restarted = harness.restart()
  expect(await socket.whenClosed()).toMatchObject({ code: 1001 })
  expect(await stream.text()).toContain('event: subscribed')
  finish('{"a":1}')
  expect((await inFlight).status).toBe(200)
  await Promise.all(others)
  await restarted
  expect((await harness.fetch('/livez')).status).toBe(200)
})
