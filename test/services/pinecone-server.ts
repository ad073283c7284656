import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { z } from 'zod'
import { FakePineconeIndex, type PineconeIndexSettings, RequestError } from './pinecone-index.ts'

export interface FakePineconeOptions extends Partial<PineconeIndexSettings> {
  /** How long a new index takes until it is ready, in milliseconds. */
  readonly readyMs?: number
}

export interface FakePinecone {
  /** Of the control plane. */
  readonly url: string
  readonly apiKey: string
  /** How writes become visible; it may be changed at any time. */
  readonly settings: PineconeIndexSettings
  /** Method and path of every request, in order. */
  readonly requests: readonly string[]
  /** Answers the next requests to the data plane with a failure. */
  failNext(status: number, requests: number, headers?: Record<string, string>): void
  /** Cuts all connections and takes no more, as a crash would; what was answered stays. */
  kill(): Promise<void>
  restart(): Promise<void>
  close(): Promise<void>
}

const apiVersion = '2026-04'
const host = '127.0.0.1'

const createRequest = z.strictObject({
  name: z
    .string()
    .max(45)
    .regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/),
  dimension: z.int().min(1).max(20_000),
  metric: z.enum(['cosine', 'euclidean', 'dotproduct']).default('cosine'),
  vector_type: z.literal('dense').default('dense'),
  deletion_protection: z.enum(['enabled', 'disabled']).optional(),
  tags: z.record(z.string(), z.string()).optional(),
  spec: z.strictObject({
    serverless: z.strictObject({ cloud: z.enum(['aws', 'gcp', 'azure']), region: z.string().min(1) }),
  }),
})

interface IndexEntry {
  readonly model: z.infer<typeof createRequest>
  readonly readyAt: number
  readonly data: FakePineconeIndex
}

/**
 * A fake of Pinecone, since the service itself cannot run here: control and data plane written from its published OpenAPI
 * and its documented limits, for the real SDK over HTTP. Requests are read strictly: what is not of the API is an error. Each
 * write stays unseen for a while, as there. Not here: pods, sparse vectors, integrated models, imports, backups, and an
 * index that only approximates.
 */
export async function startFakePinecone({
  readyMs = 0,
  freshnessMs = 0,
  missingDiffers = true,
  numbered = true,
}: FakePineconeOptions = {}): Promise<FakePinecone> {
  const apiKey = 'pcsk_test_key'
  const settings = { freshnessMs, missingDiffers, numbered }
  const indexes = new Map<string, IndexEntry>()
  const requests: string[] = []
  const failures: { status: number; headers: Record<string, string> }[] = []
  let port = 0

  const model = ({ model: { name, dimension, metric, spec }, readyAt }: IndexEntry) => ({
    name,
    dimension,
    metric,
    host: `${host}:${port}/data/${name}`,
    spec,
    status: Date.now() >= readyAt ? { ready: true, state: 'Ready' } : { ready: false, state: 'Initializing' },
    vector_type: 'dense',
    deletion_protection: 'disabled',
  })

  const control = (method: string, path: string, body: string): { status: number; body?: object } => {
    const [, name = ''] = /^\/indexes\/([^/]+)$/.exec(path) ?? []
    if (method === 'GET' && path === '/indexes') {
      return { status: 200, body: { indexes: [...indexes.values()].map(model) } }
    }
    if (method === 'POST' && path === '/indexes') {
      const made = createRequest.parse(JSON.parse(body))
      if (indexes.has(made.name)) throw new RequestError(409, 'Resource already exists')
      const data = new FakePineconeIndex(made.dimension, settings)
      const entry = { model: made, readyAt: Date.now() + readyMs, data }
      indexes.set(made.name, entry)
      return { status: 201, body: model(entry) }
    }
    const entry = indexes.get(decodeURIComponent(name))
    if (entry === undefined) throw new RequestError(404, `Resource ${name} not found`)
    if (method === 'GET') return { status: 200, body: model(entry) }
    if (method !== 'DELETE') throw new RequestError(405, `${method} is not part of the API`)
    indexes.delete(name)
    return { status: 202 }
  }

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await text(request)
    const { method = '' } = request
    const url = new URL(request.url ?? '/', `http://${host}`)
    requests.push(`${method} ${url.pathname}`)
    if (request.headers['api-key'] !== apiKey) throw new RequestError(401, 'Invalid API Key')
    if (request.headers['x-pinecone-api-version'] !== apiVersion) {
      throw new RequestError(400, `X-Pinecone-Api-Version must be ${apiVersion}`)
    }
    const [, name, path] = /^\/data\/([^/]+)(\/.*)$/.exec(url.pathname) ?? []
    if (name === undefined || path === undefined) {
      const { status, body: answer } = control(method, url.pathname, body)
      send(response, status, answer)
      return
    }
    const failure = failures.shift()
    if (failure !== undefined) {
      send(response, failure.status, { code: 8, message: 'Too many requests', details: [] }, failure.headers)
      return
    }
    const index = indexes.get(name)
    if (index === undefined || Date.now() < index.readyAt) throw new RequestError(404, 'Index not found')
    const { body: answer, headers } = index.data.answer(method, path, url.searchParams, body)
    send(response, 200, answer, headers)
  }

  const listen = async (wanted: number): Promise<Server> => {
    const made = createServer((request, response) => {
      handle(request, response).catch((error: unknown) => sendError(response, error))
    })
    made.listen(wanted, host)
    await once(made, 'listening')
    return made
  }
  const stop = async (running: Server): Promise<void> => {
    if (!running.listening) return
    const closed = once(running, 'close')
    running.close()
    running.closeAllConnections()
    await closed
  }

  let server = await listen(0)
  const address = server.address()
  if (typeof address === 'object' && address !== null) port = address.port
  return {
    url: `http://${host}:${port}`,
    apiKey,
    settings,
    requests,
    failNext: (status, count, headers = {}) => {
      for (let n = 0; n < count; n++) failures.push({ status, headers })
    },
    kill: () => stop(server),
    restart: async () => {
      await stop(server)
      server = await listen(port)
    },
    close: () => stop(server),
  }
}

function send(response: ServerResponse, status: number, body?: object, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(body === undefined ? undefined : JSON.stringify(body))
}

function sendError(response: ServerResponse, error: unknown): void {
  const status = error instanceof RequestError ? error.status : 400
  const message = error instanceof z.ZodError ? z.prettifyError(error) : String(error)
  send(response, status, { code: 3, message, details: [], error: { code: 'INVALID_ARGUMENT', message }, status })
}
