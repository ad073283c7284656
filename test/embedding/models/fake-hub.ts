import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { glob } from 'tinyglobby'
import { onTestFinished } from 'vitest'

/** How the fake misbehaves. All can be changed while it runs. */
export interface Behaviour {
  /** Whether it has the API that lists files. */
  lists: boolean
  /** Only who brings this token is let in. */
  token?: string | undefined
  /** So many bodies of large files break off in their midst. */
  breaks: number
  /** So many requests are answered with this status. */
  failures: { status: number; left: number }
  /** Large files come in pieces of so many bytes, with a pause between them. */
  pieces?: { readonly bytes: number; readonly pauseMs: number } | undefined
  /** Whether large files can be asked for from the middle. */
  ranges: boolean
  /** What is sent instead of a file. */
  readonly replaced: Map<string, Buffer>
}

export interface Asked {
  readonly server: 'hub' | 'store'
  readonly path: string
  readonly range: string | undefined
  readonly authorization: string | undefined
}

/**
 * A fake of a model hub with one model, `owner/tiny`, made of a folder. Weights are redirected to another server, as real
 * hubs do it with large files, where no token must ever arrive.
 */
export class FakeHub {
  readonly asked: Asked[] = []
  readonly behaviour: Behaviour = {
    lists: true,
    breaks: 0,
    failures: { status: 503, left: 0 },
    ranges: true,
    replaced: new Map(),
  }
  /** The commit that it has. */
  revision = 'a'.repeat(40)
  url = ''
  readonly #files: ReadonlyMap<string, Buffer>
  readonly #hub: Server
  readonly #store: Server

  private constructor(files: ReadonlyMap<string, Buffer>) {
    this.#files = files
    this.#hub = createServer((request, response) => void this.#answer(request, response))
    this.#store = createServer((request, response) => void this.#send(request, response))
  }

  static async start(folder: string): Promise<FakeHub> {
    const paths = await glob('**', { cwd: folder })
    const files = await Promise.all(paths.map(async (path) => [path, await readFile(join(folder, path))] as const))
    const hub = new FakeHub(new Map(files))
    await Promise.all([hub.#hub, hub.#store].map((server) => new Promise<void>((done) => server.listen(0, done))))
    hub.url = addressOf(hub.#hub)
    onTestFinished(() => hub.stop())
    return hub
  }

  /** Requests for the content of weights. */
  get storeAsked(): Asked[] {
    return this.asked.filter(({ server }) => server === 'store')
  }

  async stop(): Promise<void> {
    for (const server of [this.#hub, this.#store]) {
      server.closeAllConnections()
      server.close()
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = this.#note('hub', request)
    const { failures, token, lists } = this.behaviour
    if (failures.left > 0) {
      failures.left--
      return refuse(response, failures.status)
    }
    if (token !== undefined && request.headers.authorization !== `Bearer ${token}`) return refuse(response, 401)
    if (path.startsWith('/api/models/owner/tiny/revision/')) return lists ? this.#list(response) : refuse(response, 404)
    const [, file] = /^\/owner\/tiny\/resolve\/[^/]+\/(.+)$/.exec(path) ?? []
    const content = this.#files.get(file ?? '')
    if (file === undefined || content === undefined) return refuse(response, 404)
    if (!isLarge(file))
      return void response.setHeader('etag', '"a git hash"').end(this.behaviour.replaced.get(file) ?? content)
    response
      .writeHead(302, { location: `${addressOf(this.#store)}/${file}`, 'x-linked-etag': `"${sha256(content)}"` })
      .end()
  }

  #list(response: ServerResponse): void {
    const siblings = [...this.#files].map(([rfilename, content]) => ({
      rfilename,
      size: content.length,
      ...(isLarge(rfilename) && { lfs: { sha256: sha256(content), size: content.length } }),
    }))
    response.end(JSON.stringify({ id: 'owner/tiny', sha: this.revision, siblings }))
  }

  async #send(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = this.#note('store', request).slice(1)
    const content = this.behaviour.replaced.get(path) ?? this.#files.get(path)
    if (content === undefined) return refuse(response, 404)
    const asked = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
    const from = this.behaviour.ranges ? asked : 0
    if (from >= content.length) return refuse(response, 416)
    const length = content.length - from
    if (from === 0) response.writeHead(200, { 'content-length': length })
    else {
      const range = `bytes ${from}-${content.length - 1}/${content.length}`
      response.writeHead(206, { 'content-length': length, 'content-range': range })
    }
    const { bytes, pauseMs } = this.behaviour.pieces ?? { bytes: Math.ceil(length / 2), pauseMs: 5 }
    for (let at = from; at < content.length && !response.destroyed; at += bytes) {
      response.write(content.subarray(at, at + bytes))
      await delay(pauseMs)
      if (this.behaviour.breaks > 0) {
        this.behaviour.breaks--
        return void response.destroy()
      }
    }
    response.end()
  }

  #note(server: Asked['server'], request: IncomingMessage): string {
    const path = request.url ?? ''
    const { range, authorization } = request.headers
    this.asked.push({ server, path, range, authorization })
    return path
  }
}

export function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex')
}

function isLarge(path: string): boolean {
  return /\.onnx(_data)?$/.test(path)
}

function refuse(response: ServerResponse, status: number): void {
  response.writeHead(status).end()
}

function addressOf(server: Server): string {
  const address = server.address()
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`
}
