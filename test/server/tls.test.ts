import { copyFile, readFile } from 'node:fs/promises'
import { request } from 'node:https'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import type { AccessRule } from '../../src/access/index.ts'
import type { ListenOptions } from '../../src/server/index.ts'
import { signBySecret } from '../access/signing.ts'
import { type Certificates, makeCertificates } from '../services/certificates.ts'
import { tempFolder } from '../support/cli.ts'
import { type Harness, type HarnessOptions, startServer } from './harness.ts'

const secret = 'a secret that has thirty-two bytes, and some more'
let folder: Awaited<ReturnType<typeof tempFolder>>
let ours: Certificates
/** Of an authority that the server does not know. */
let strange: Certificates
beforeAll(async () => {
  folder = await tempFolder()
  ours = await makeCertificates(join(folder.path, 'ours'))
  strange = await makeCertificates(join(folder.path, 'strange'))
}, 60_000)
afterAll(() => folder?.[Symbol.asyncDispose]())

async function serve(tls: Partial<ListenOptions['tls']>, options: HarnessOptions = {}): Promise<Harness> {
  const { certificate: cert, key } = ours.server
  const server = await startServer({ ...options, tls: { cert, key, ...tls } })
  onTestFinished(() => server[Symbol.asyncDispose]())
  return server
}

interface Shown {
  readonly of?: Certificates
  readonly token?: string
  readonly headers?: Record<string, string>
}

async function credentials({ of }: Shown) {
  const ca = await readFile(ours.authority)
  if (of === undefined) return { ca }
  return { ca, cert: await readFile(of.client.certificate), key: await readFile(of.client.key) }
}

async function get(server: Harness, path: string, shown: Shown = {}) {
  const { token, headers = {} } = shown
  const secrets = await credentials(shown)
  const authorization: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` }
  return new Promise<{ status: number | undefined; headers: Record<string, unknown>; body: { code?: string } }>(
    (resolve, reject) => {
      const options = {
        ...secrets,
        agent: false,
        servername: 'localhost',
        headers: { ...headers, ...authorization },
      } as const
      const sent = request(`${server.address}${path}`, options, (response) => {
        let text = ''
        response.on('data', (chunk) => {
          text += chunk
        })
        response.on('end', () => {
          const body = text.startsWith('{') ? JSON.parse(text) : {}
          resolve({ status: response.statusCode, headers: response.headers, body })
        })
      })
      sent.on('error', reject)
      sent.end()
    },
  )
}

test('the server speaks TLS: HTTP and WebSockets, with HSTS, and nothing in the clear', async () => {
  const server = await serve({}, { token: 'secret-token' })
  expect(server.address).toMatch(/^https:/)
  const answer = await get(server, '/v1/topics', { token: 'secret-token' })
  expect(answer).toMatchObject({ status: 200, headers: { 'strict-transport-security': 'max-age=31536000' } })
  const socket = new WebSocket(`${server.address.replace('https', 'wss')}/v1/live`, await credentials({}))
  const opened = await new Promise((resolve, reject) => {
    socket.on('open', () => resolve('open'))
    socket.on('error', reject)
  })
  expect(opened).toBe('open')
  socket.terminate()
  await expect(fetch(`${server.address.replace('https', 'http')}/livez`)).rejects.toThrow()
})

test('a page of http may not ask, though its host is the same', async () => {
  const server = await serve({}, { token: 'secret-token' })
  const host = new URL(server.address).host
  const ask = (scheme: string) =>
    get(server, '/v1/topics', {
      token: 'secret-token',
      headers: {
        host: host.replace('127.0.0.1', 'app.example'),
        origin: `${scheme}://${host.replace('127.0.0.1', 'app.example')}`,
      },
    })
  expect(await ask('https')).toMatchObject({ status: 200 })
  expect(await ask('http')).toMatchObject({ status: 403, body: { code: 'foreign_origin' } })
})

test('files that cannot be used say so at the start', async () => {
  const { certificate: cert, key } = ours.server
  const other = ours.client.key
  for (const tls of [
    { cert, key: other },
    { cert, key: join(folder.path, 'nothing') },
    { cert: key, key },
  ]) {
    await expect(startServer({ token: 't', tls })).rejects.toMatchObject({ code: 'certificate_unusable' })
  }
})

test('a certificate that changes is the one that the next connection gets', async () => {
  const cert = join(folder.path, 'rotating.pem')
  const key = join(folder.path, 'rotating.key')
  await copyFile(ours.server.certificate, cert)
  await copyFile(ours.server.key, key)
  const server = await serve({ cert, key }, { token: 'secret-token' })
  const { port } = new URL(server.address)
  const issuer = () =>
    new Promise<string>((resolve, reject) => {
      const socket = connect({ port: Number(port), host: '127.0.0.1', rejectUnauthorized: false }, () => {
        resolve(socket.getPeerCertificate().fingerprint256)
        socket.destroy()
      })
      socket.on('error', reject)
    })
  const before = await issuer()
  expect(await issuer()).toBe(before)
  await copyFile(strange.server.key, key)
  await copyFile(strange.server.certificate, cert)
  await expect.poll(issuer, { timeout: 10_000, interval: 200 }).not.toBe(before)
})

describe('certificates of clients', () => {
  const rules: AccessRule[] = [
    { when: { cn: 'client' }, subscribe: ['orders'], manage: ['{cn}.*'] },
    { when: { caller: 'user' }, subscribe: ['tickets'] },
  ]
  const access = { jwt: { secret, clockTolerance: 0 }, access: rules }

  test('required: without one of our authority no connection comes about', async () => {
    const clients = 'required'
    const server = await serve({ ca: ours.authority, clients }, { access: { access: rules, tls: { clients } } })
    await expect(get(server, '/v1/topics')).rejects.toThrow()
    await expect(get(server, '/v1/topics', { of: strange })).rejects.toThrow()
    await expect(get(server, '/livez')).rejects.toThrow()
    expect(await get(server, '/v1/topics', { of: ours })).toMatchObject({ status: 200 })
    expect(await get(server, '/v1/topics/orders/events', { of: ours })).toMatchObject({ status: 404 })
    expect(await get(server, '/v1/topics/tickets/events', { of: ours })).toMatchObject({
      status: 403,
      body: { code: 'forbidden', detail: '"client" may not subscribe to "tickets".' },
    })
  })

  test('optional: a certificate or a token; the token counts where both are shown', async () => {
    const clients = 'optional'
    const server = await serve({ ca: ours.authority, clients }, { access: { ...access, tls: { clients } } })
    const token = await signBySecret(secret, { caller: 'user' })
    expect(await get(server, '/v1/topics')).toMatchObject({ status: 401, body: { code: 'unauthenticated' } })
    expect(await get(server, '/livez')).toMatchObject({ status: 200 })
    expect(await get(server, '/v1/topics/orders/events', { of: ours })).toMatchObject({ status: 404 })
    expect(await get(server, '/v1/topics/tickets/events', { token })).toMatchObject({ status: 404 })
    expect(await get(server, '/v1/topics/tickets/events', { token, of: ours })).toMatchObject({ status: 404 })
    expect(await get(server, '/v1/topics/orders/events', { token, of: ours })).toMatchObject({ status: 403 })
    const wrong = await get(server, '/v1/topics', { token: `${token}x`, of: ours })
    expect(wrong).toMatchObject({ status: 401, body: { code: 'token_invalid' } })
  })

  test('optional: one of an authority that is not trusted is refused, and is nobody', async () => {
    const clients = 'optional'
    const server = await serve({ ca: ours.authority, clients }, { access: { ...access, tls: { clients } } })
    const refused = await get(server, '/v1/topics', { of: strange })
    expect(refused).toMatchObject({ status: 401, body: { code: 'certificate_untrusted' } })
    const token = await signBySecret(secret, { caller: 'user' })
    expect(await get(server, '/v1/topics', { of: strange, token })).toMatchObject({ status: 200 })
  })

  test('a certificate is a second lock where only the token of the server says what may be done', async () => {
    const clients = 'required'
    const settings = { token: 'secret-token', tls: { clients } } as const
    const server = await serve({ ca: ours.authority, clients }, { access: settings })
    await expect(get(server, '/v1/topics', { token: 'secret-token' })).rejects.toThrow()
    expect(await get(server, '/v1/topics', { of: ours })).toMatchObject({ status: 401 })
    expect(await get(server, '/v1/topics', { of: ours, token: 'secret-token' })).toMatchObject({ status: 200 })
  })

  test('a WebSocket of a client with a certificate is let in at once', async () => {
    const clients = 'optional'
    const server = await serve({ ca: ours.authority, clients }, { access: { ...access, tls: { clients } } })
    const socket = new WebSocket(`${server.address.replace('https', 'wss')}/v1/live`, await credentials({ of: ours }))
    socket.on('open', () => {
      socket.send('{"id":1,"type":"subscribe","channel":"orders"}')
      socket.send('{"id":2,"type":"subscribe","channel":"tickets"}')
    })
    const replies: unknown[] = []
    socket.on('message', (data) => replies.push(JSON.parse(String(data))))
    await expect.poll(() => replies.length, { timeout: 5_000 }).toBe(2)
    expect(replies).toContainEqual(expect.objectContaining({ id: 1, type: 'subscribed' }))
    expect(replies).toContainEqual(expect.objectContaining({ id: 2, type: 'error', code: 'forbidden' }))
    socket.terminate()
  })
})
