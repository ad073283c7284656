import { request } from 'node:http'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { errorCode } from '../../src/core/errors.ts'
import { assertPlace, isLoopback } from '../../src/server/origins.ts'
import { signBySecret } from '../access/signing.ts'
import { type Harness, json, startServer } from './harness.ts'

/** `fetch` does not let a caller choose `Host` and `Origin`. */
function call(
  address: string,
  path: string,
  headers: Record<string, string>,
  method = 'GET',
): Promise<{ status: number; body: string; headers: Record<string, unknown> }> {
  return new Promise((resolve, reject) => {
    const sent = request(`${address}${path}`, { method, headers }, (response) => {
      let body = ''
      response.on('data', (chunk) => {
        body += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body, headers: response.headers }))
    })
    sent.on('error', reject)
    sent.end()
  })
}

/** The status that refuses an upgrade, or 101. */
function upgrade(address: string, headers: Record<string, string>, path = '/v1/live'): Promise<number> {
  return new Promise((resolve) => {
    const socket = new WebSocket(`${address.replace('http', 'ws')}${path}`, { headers })
    socket.on('open', () => {
      socket.terminate()
      resolve(101)
    })
    socket.on('unexpected-response', (_request, response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    socket.on('error', () => undefined)
  })
}

describe('without a token', () => {
  let server: Harness
  beforeAll(async () => {
    server = await startServer()
  })
  afterAll(() => server[Symbol.asyncDispose]())

  test.each([
    ['a program', {}, 200],
    ['a page of this machine', { origin: 'http://localhost:5173' }, 200],
    ['a page of the web', { origin: 'https://evil.example' }, 403],
    ['a sandboxed page', { origin: 'null' }, 403],
    ['a name that was pointed at this machine', { host: 'evil.example:8080' }, 403],
    ['a name that begins like this machine', { host: 'localhost.evil.example' }, 403],
    ['an origin that begins like this machine', { origin: 'http://127.0.0.1.evil.example' }, 403],
  ])('%s: %j gets %i, and the same for a WebSocket', async (_who, headers: Record<string, string>, status) => {
    const answer = await call(server.address, '/v1/topics', headers)
    expect(answer.status).toBe(status)
    expect(await upgrade(server.address, headers)).toBe(status === 200 ? 101 : status)
    if (status === 403) expect(JSON.parse(answer.body)).toMatchObject({ code: expect.stringMatching(/^foreign_/) })
  })

  test('a page of this machine may read the answer, and asks first', async () => {
    const origin = 'http://localhost:5173'
    const preflight = await call(
      server.address,
      '/v1/topics',
      { origin, 'access-control-request-method': 'POST' },
      'OPTIONS',
    )
    expect(preflight).toMatchObject({ status: 204, headers: { 'access-control-allow-origin': origin } })
    expect((await call(server.address, '/v1/topics', { origin })).headers['access-control-allow-origin']).toBe(origin)
    const evil = { origin: 'https://evil.example', 'access-control-request-method': 'POST' }
    expect((await call(server.address, '/v1/topics', evil, 'OPTIONS')).status).toBe(403)
  })
})

describe('with a token', () => {
  let server: Harness
  beforeAll(async () => {
    server = await startServer({ token: 'secret-token', liveLimits: { authenticateMs: 200 } })
  })
  afterAll(() => server[Symbol.asyncDispose]())

  test('every call needs it, whatever the host', async () => {
    for (const path of ['/v1/topics', '/metrics', '/openapi.json', '/v1/live/tickets', '/v1/nothing']) {
      const none = await call(server.address, path, {})
      expect(none, path).toMatchObject({ status: 401, headers: { 'www-authenticate': 'Bearer' } })
      expect(JSON.parse(none.body)).toMatchObject({ code: 'unauthenticated' })
      const wrong = await call(server.address, path, { authorization: 'Bearer wrong' })
      expect(wrong.status, path).toBe(401)
      expect(JSON.parse(wrong.body)).toMatchObject({ code: 'token_invalid' })
    }
    const headers = { authorization: 'Bearer secret-token', host: 'millrace.example' }
    expect((await call(server.address, '/v1/topics', headers)).status).toBe(200)
    expect((await call(server.address, '/v1/topics?token=secret-token', {})).status).toBe(200)
  })

  test('probes and the page do not', async () => {
    for (const path of ['/livez', '/readyz', '/']) expect((await call(server.address, path, {})).status, path).toBe(200)
  })

  test('why it is not ready is told to nobody without it', async () => {
    await using server = await startServer({ token: 'secret-token', ready: () => ({ ready: false, reasons: ['x'] }) })
    const headers = { authorization: 'Bearer secret-token' }
    expect(await call(server.address, '/readyz', {})).toMatchObject({
      status: 503,
      body: '{"ready":false,"reasons":[]}',
    })
    expect(JSON.parse((await call(server.address, '/readyz', headers)).body)).toEqual({ ready: false, reasons: ['x'] })
  })

  test('a WebSocket: in the request, or as its first message; a wrong one is refused, none is not waited for', async () => {
    expect(await upgrade(server.address, { authorization: 'Bearer secret-token' })).toBe(101)
    expect(await upgrade(server.address, {}, '/v1/live?token=secret-token')).toBe(101)
    expect(await upgrade(server.address, {}, '/v1/live?token=wrong')).toBe(401)
    const silent = new WebSocket(`${server.address.replace('http', 'ws')}/v1/live`)
    const messages: string[] = []
    silent.on('message', (data) => messages.push(String(data)))
    silent.on('open', () => silent.send(JSON.stringify({ id: 1, type: 'subscribe', channel: 'tickets' })))
    const code = await new Promise((resolve) => silent.on('close', resolve))
    expect(code).toBe(4501)
    expect(messages.map((text) => JSON.parse(text))).toMatchObject([{ id: 1, type: 'error', code: 'unauthenticated' }])
  })

  test('it is nowhere in the metrics or in the log', async () => {
    await call(server.address, '/v1/topics?token=secret-token', {})
    expect(await server.metrics.text()).not.toContain('secret-token')
    expect(JSON.stringify(server.errors)).not.toContain('secret-token')
  })
})

describe('too much', () => {
  let server: Harness
  beforeAll(async () => {
    server = await startServer()
    await server.fetch('/v1/topics', json({ name: 'tickets' }))
  })
  afterAll(() => server[Symbol.asyncDispose]())

  test('a body of 100 MB is refused before it is sent', async () => {
    const started = performance.now()
    const socket = connect(Number(new URL(server.address).port), '127.0.0.1')
    socket.write(
      'POST /v1/topics/tickets/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n\r\n[',
    )
    const text = await new Promise<string>((resolve) => socket.once('data', (data) => resolve(String(data))))
    socket.destroy()
    expect(text).toMatch(/^HTTP\/1.1 413/)
    expect(text).toContain('"code":"body_too_large"')
    expect(text).toContain('"hint"')
    expect(performance.now() - started).toBeLessThan(1_000)
  })

  test('a body of 100 MB that does not say so is given up at the limit, and memory stays', async () => {
    const chunk = new Uint8Array(1_000_000).fill(0x20)
    const before = process.memoryUsage.rss()
    let sent = 0
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (sent++ < 100) controller.enqueue(chunk)
        else controller.close()
      },
    })
    const init: RequestInit = { method: 'POST', body, duplex: 'half' }
    const outcome = await server.fetch('/v1/topics/tickets/events', init).then(
      (response) => response.status,
      // The server may hang up while the client is still writing.
      () => 413,
    )
    expect(outcome).toBe(413)
    expect(sent).toBeLessThan(100)
    expect(process.memoryUsage.rss() - before).toBeLessThan(80_000_000)
    expect((await server.fetch('/livez')).status).toBe(200)
  })
})

test('many large requests at once do not fill the memory together', async () => {
  await using server = await startServer({ limits: { bodyBytes: 1_000_000, inFlightBytes: 2_000_000 } })
  await server.fetch('/v1/topics', json({ name: 'tickets' }))
  const port = Number(new URL(server.address).port)
  const head = 'POST /v1/topics/tickets/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n['
  const held = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')]
  for (const socket of held) socket.write(head)
  await new Promise((resolve) => setTimeout(resolve, 100))
  const post = () => server.fetch('/v1/topics/tickets/events', json(['x'.repeat(900_000)]))
  const refused = await post()
  expect(refused.status).toBe(503)
  expect(refused.headers.get('retry-after')).toBe('1')
  expect(await refused.json()).toMatchObject({ code: 'overloaded' })
  for (const socket of held) socket.destroy()
  await expect.poll(async () => (await post()).status).toBe(200)
})

test('one caller whose requests come slowly does not keep out the others', async () => {
  const secret = 'a secret that has thirty-two bytes, and some more'
  await using server = await startServer({
    access: { jwt: { secret, clockTolerance: 0 }, access: [{ publish: ['tickets'] }] },
    limits: { bodyBytes: 1_000_000, inFlightBytes: 4_000_000 },
  })
  await server.log.ensureTopic('tickets', {})
  const [slow, other] = await Promise.all(['slow', 'other'].map((sub) => signBySecret(secret, { sub })))
  const path = '/v1/topics/tickets/events'
  const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${slow}\r\nContent-Length: 900000\r\n\r\n[`
  const held = Array.from({ length: 10 }, () => connect(Number(new URL(server.address).port), '127.0.0.1'))
  for (const socket of held) socket.write(head)
  await new Promise((resolve) => setTimeout(resolve, 100))
  const post = async (token: string | undefined) => {
    const request = json(['x'.repeat(900_000)])
    return (await server.fetch(path, { ...request, headers: { authorization: `Bearer ${token}` } })).status
  }
  expect(await post(slow)).toBe(503)
  expect(await post(other)).toBe(200)
  for (const socket of held) socket.destroy()
  await expect.poll(() => post(slow)).toBe(200)
})

test('which names are this machine', () => {
  for (const name of ['localhost', '127.0.0.1', '127.8.9.1', '::1', '[::1]']) expect(isLoopback(name), name).toBe(true)
  for (const name of ['0.0.0.0', '::', '10.0.0.1', 'localhost.', '127.0.0.1.nip.io', ''])
    expect(isLoopback(name), name).toBe(false)
})

describe('pages', () => {
  const visitor = { token: undefined, certificate: undefined, address: undefined }
  const judge = (origin: string, host: string, origins: readonly string[] = [], secure = false) => {
    try {
      assertPlace({ ...visitor, origin, host, secure }, { required: true, origins })
      return 'allowed'
    } catch (error) {
      return errorCode(error)
    }
  }

  test.each([
    ['https://app.example', 'app.example', 'allowed'],
    ['http://app.example:8080', 'app.example:8080', 'allowed'],
    ['http://localhost:5173', '127.0.0.1:8080', 'allowed'],
    ['https://app.example', 'api.example', 'foreign_origin'],
    ['http://app.example:8081', 'app.example:8080', 'foreign_origin'],
    ['http://localhost:5173', 'app.example', 'foreign_origin'],
    ['https://app.example.evil.example', 'app.example', 'foreign_origin'],
    ['null', 'app.example', 'foreign_origin'],
    ['', 'app.example', 'foreign_origin'],
    ['file://', '', 'foreign_origin'],
  ])('%s of %s is %s', (origin, host, verdict) => {
    expect(judge(origin, host)).toBe(verdict)
  })

  test('that are named may ask, and no others; a star names all', () => {
    const named = ['https://app.example']
    expect(judge('https://app.example', 'api.example', named)).toBe('allowed')
    expect(judge('http://app.example', 'api.example', named)).toBe('foreign_origin')
    expect(judge('https://app.example:8443', 'api.example', named)).toBe('foreign_origin')
    expect(judge('null', 'api.example', ['*'])).toBe('allowed')
  })

  test('that came in the clear may not ask a server that speaks TLS, though the host is the same', () => {
    expect(judge('http://app.example', 'app.example', [], true)).toBe('foreign_origin')
    expect(judge('https://app.example', 'app.example', [], true)).toBe('allowed')
  })

  test('of other origins are refused also with a token, over HTTP and for a WebSocket, unless they are named', async () => {
    const origins = ['https://app.example']
    await using server = await startServer({ token: 'secret-token', origins })
    const authorization = 'Bearer secret-token'
    for (const [origin, status] of [
      ['https://app.example', 200],
      ['https://evil.example', 403],
    ] as const) {
      const answer = await call(server.address, '/v1/topics', { authorization, origin })
      expect(answer.status).toBe(status)
      expect(answer.headers['access-control-allow-origin']).toBe(status === 200 ? origin : undefined)
      expect(await upgrade(server.address, { authorization, origin })).toBe(status === 200 ? 101 : 403)
      const asked = { origin, 'access-control-request-method': 'POST' }
      expect((await call(server.address, '/v1/topics', asked, 'OPTIONS')).status).toBe(status === 200 ? 204 : 403)
    }
  })

  test('may read why they were refused', async () => {
    await using server = await startServer({ token: 'secret-token', origins: ['https://app.example'] })
    const answer = await call(server.address, '/v1/topics', { origin: 'https://app.example' })
    expect(answer).toMatchObject({ status: 401, headers: { 'access-control-allow-origin': 'https://app.example' } })
  })
})
