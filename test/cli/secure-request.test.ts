import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { secureRequest } from '../../src/cli/secure-request.ts'
import { type Harness, json, startServer } from '../server/harness.ts'
import { type Certificates, makeCertificates } from '../services/certificates.ts'
import { tempFolder } from '../support/cli.ts'

let folder: Awaited<ReturnType<typeof tempFolder>>
let certificates: Certificates
let server: Harness
beforeAll(async () => {
  folder = await tempFolder()
  certificates = await makeCertificates(folder.path)
  const { certificate: cert, key } = certificates.server
  const clients = 'required'
  server = await startServer({
    tls: { cert, key, ca: certificates.authority, clients },
    access: { access: [{ manage: ['*'], publish: ['*'] }], tls: { clients } },
  })
}, 60_000)
afterAll(async () => {
  await server?.[Symbol.asyncDispose]()
  await folder?.[Symbol.asyncDispose]()
})

function ask(path: string, init: RequestInit, files: { server?: string; cert?: string; key?: string }) {
  return secureRequest(new URL(path, server.address), init, files)
}

test('a request with a body, an answer, an empty one and a stream, to the server whose certificate is known', async () => {
  const { certificate: cert, key } = certificates.client
  const files = { server: certificates.server.certificate, cert, key }
  const made = await ask('/v1/topics', json({ name: 'orders' }), files)
  expect([made.status, made.headers.get('content-type')]).toEqual([201, 'application/json'])
  expect(await made.json()).toMatchObject({ name: 'orders' })
  await server.pipelines.put('p', 'name: p')
  expect((await ask('/v1/pipelines/p', { method: 'DELETE' }, files)).status).toBe(204)
  const stop = new AbortController()
  const stream = await ask('/v1/pipelines?watch=true', { signal: stop.signal }, files)
  const reader = stream.body?.getReader()
  expect(new TextDecoder().decode((await reader?.read())?.value)).toContain(': open')
  stop.abort()
  await expect(reader?.read().then(() => reader.read())).rejects.toThrow()
})

test('nothing is sent to a server with another certificate', async () => {
  const { certificate: cert, key } = certificates.client
  const files = { server: cert, cert, key }
  await expect(ask('/v1/topics', json({ name: 'never' }), files)).rejects.toThrow(/certificate is another/)
  expect((await server.log.topics()).map(({ name }) => name)).not.toContain('never')
})

test('without a pinned certificate it has to be one that Node trusts', async () => {
  const { certificate: cert, key } = certificates.client
  await expect(ask('/v1/topics', {}, { cert, key })).rejects.toThrow(/certificate/)
})

test('a file that is not there is named', async () => {
  await expect(ask('/v1/topics', {}, { cert: join(folder.path, 'no.pem') })).rejects.toMatchObject({
    code: 'certificate_unusable',
    message: expect.stringContaining('no.pem'),
  })
})
