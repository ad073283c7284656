import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type ServerOptions } from 'node:https'
import type { AddressInfo } from 'node:net'

export interface FakeAnswer {
  readonly status?: number
  readonly body?: unknown
}

/** Stands in for a registry where a real one cannot be brought to misbehave. Counts what it is asked. */
export interface FakeRegistry {
  readonly url: string
  readonly requests: { readonly method: string; readonly path: string; readonly authorization: string | undefined }[]
  /** Answers for paths; `undefined` is a registry's own "not found". */
  answer: (path: string, count: number) => FakeAnswer | undefined
  close(): Promise<void>
}

export async function startFakeRegistry(answer: FakeRegistry['answer'], tls?: ServerOptions): Promise<FakeRegistry> {
  const requests: FakeRegistry['requests'] = []
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    const path = request.url ?? ''
    requests.push({ method: request.method ?? '', path, authorization: request.headers.authorization })
    const count = requests.filter((other) => other.path === path).length
    const known: FakeAnswer | undefined = path.startsWith('/subjects?') ? { body: [] } : undefined
    const { status = 200, body = {} } = fake.answer(path, count) ??
      known ?? { status: 404, body: { error_code: 40403, message: 'Schema not found' } }
    response.writeHead(status, { 'content-type': 'application/vnd.schemaregistry.v1+json' })
    response.end(typeof body === 'string' ? body : JSON.stringify(body))
  }
  const server = tls === undefined ? createServer(handle) : createTlsServer(tls, handle)
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const fake: FakeRegistry = {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${portOf(server.address())}`,
    requests,
    answer,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
  return fake
}

function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === 'string') throw new Error('not listening')
  return address.port
}
