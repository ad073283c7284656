import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { TLSSocket } from 'node:tls'
import { createGunzip } from 'node:zlib'
import { openServerEngine } from './clickhouse-engine.ts'

/**
 * What goes wrong with a request. `reset`: the connection breaks before the statement is read. `hang`: there is no answer.
 * `proxy`: a proxy says 503. `busy`: one says 429 and to wait for a second. `lost`: the statement is done, and the
 * connection breaks before the answer. `cut`: it breaks in the midst of the answer. `late`: the answer begins, and
 * ends in an exception.
 */
export type Fault = 'reset' | 'hang' | 'proxy' | 'busy' | 'lost' | 'cut' | 'late'

export interface ClickHouseHttpOptions {
  readonly port?: number | undefined
  /** Where the data is, which then stays. Default: a folder that is removed in the end. */
  readonly folder?: string | undefined
  /** Passwords by user. Default: `default` without one. */
  readonly users?: Readonly<Record<string, string>> | undefined
  /** PEM texts. With `ca`, clients have to show a certificate of that authority. */
  readonly tls?: { readonly key: string; readonly cert: string; readonly ca?: string | undefined } | undefined
  /** The name of a cluster of one shard; see `withoutKeeper`. */
  readonly cluster?: string | undefined
}

export interface ClickHouseServer {
  readonly url: string
  /** The statements that came, as they came. */
  readonly statements: readonly string[]
  /** The `content-encoding` and the user of each request. */
  readonly requests: readonly { readonly encoding: string | undefined; readonly user: string }[]
  /** From now on so many requests that match go wrong. */
  fail(fault: Fault, times?: number, matching?: { test(sql: string): boolean }): void
  /** A setting that gets lost on the way, as a proxy would do that does not know it. */
  drop(setting: string): void
  heal(): void
  /** Refuses connections, until `up`. */
  down(): Promise<void>
  up(): Promise<void>
  stop(): Promise<void>
}

const httpOnly = new Set([
  'query',
  'database',
  'query_id',
  'wait_end_of_query',
  'enable_http_compression',
  'cancel_http_readonly_queries_on_client_close',
  'http_headers_progress_interval_ms',
  'send_progress_in_http_headers',
  'http_response_buffer_size',
])
/** Statements that are remembered. */
const mostRemembered = 10_000

/**
 * ClickHouse's HTTP interface as its client uses it, in front of chDB: the client's requests are real, and so are the answers of
 * the engine. Not here: compressed answers, sessions, rights, and the end of a query whose client has gone.
 */
export async function startClickHouseHttp(options: ClickHouseHttpOptions = {}): Promise<ClickHouseServer> {
  const { users = { default: '' }, tls, cluster } = options
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'millrace-clickhouse-http-')))
  const engine = await openServerEngine({ folder, cluster })
  const statements: string[] = []
  const requests: { encoding: string | undefined; user: string }[] = []
  let failing: { fault: Fault; times: number; matching: { test(sql: string): boolean } } | undefined

  let dropped: string | undefined

  const faultFor = (sql: string): Fault | undefined => {
    if (failing === undefined || failing.times < 1 || !failing.matching.test(sql)) return undefined
    failing.times -= 1
    return failing.fault
  }

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (request.url === '/ping') return void response.end('Ok.\n')
    const url = new URL(request.url ?? '/', 'http://localhost')
    const given = url.searchParams.get('query')
    const { user, password, certified } = loginOf(request)
    const body = await bodyOf(request)
    const sql = given ?? body.toString()
    remember(statements, sql)
    remember(requests, { encoding: request.headers['content-encoding'], user })
    const fault = faultFor(sql)
    if (fault === 'hang') return
    if (fault === 'reset') return void request.socket.destroy()
    if (fault === 'proxy') {
      const page = '<html><head><title>503</title></head><body><h1>Service Unavailable</h1></body></html>'
      return void response.writeHead(503, { 'Content-Type': 'text/html' }).end(page)
    }
    if (fault === 'busy') return void response.writeHead(429, { 'Retry-After': '1' }).end('slow down')
    if (!certified && users[user] !== password) {
      const message = `Code: 516. DB::Exception: ${user}: Authentication failed: password is incorrect, or there is no user with such name. (AUTHENTICATION_FAILED) (version 26.7.2.1)`
      return void response.writeHead(403, { 'X-ClickHouse-Exception-Code': '516' }).end(message)
    }
    try {
      const settings = new Map<string, string>()
      const params = new Map<string, string>()
      for (const [name, value] of url.searchParams) {
        if (name.startsWith('param_')) params.set(name.slice('param_'.length), value)
        else if (!httpOnly.has(name) && !name.startsWith('distributed_ddl_') && name !== dropped)
          settings.set(name, value)
      }
      const result = await engine.run({
        sql: cluster === undefined ? sql : withoutKeeper(sql),
        body: given === null ? undefined : body,
        database: url.searchParams.get('database') ?? undefined,
        settings,
        params,
      })
      if (fault === 'lost') return void request.socket.destroy()
      if (fault === 'cut') {
        response.writeHead(200, { 'Content-Length': result.byteLength + 100 })
        return void response.write(result.subarray(0, result.byteLength / 2) || ' ', () => request.socket.destroy())
      }
      if (fault === 'late') {
        response.writeHead(200, { 'X-ClickHouse-Exception-Tag': 'abcdefghijklmnop' })
        const half = result.subarray(0, result.byteLength / 2)
        const said =
          'Code: 241. DB::Exception: (total) memory limit exceeded. (MEMORY_LIMIT_EXCEEDED) (version 26.7.2.1)'
        return void response.end(
          `${Buffer.from(half).toString()}\r\n__exception__\r\nabcdefghijklmnop\r\n${said}\n${said.length + 1} abcdefghijklmnop\r\n__exception__\r\n`,
        )
      }
      response.end(result)
    } catch (error) {
      if (fault === 'lost' || fault === 'cut') return void request.socket.destroy()
      const message = (error instanceof Error ? error.message : String(error)).replace(/^Query failed: /, '')
      const code = message.match(/^Code: (\d+)/)?.[1] ?? '1002'
      response.writeHead(500, { 'X-ClickHouse-Exception-Code': code }).end(message)
    }
  }

  const listen = async (port: number) => {
    const listener = (request: IncomingMessage, response: ServerResponse) =>
      void answer(request, response).catch(() => request.socket.destroy())
    const server =
      tls === undefined
        ? createServer(listener)
        : createTlsServer(
            { ...tls, requestCert: tls.ca !== undefined, rejectUnauthorized: tls.ca !== undefined },
            listener,
          )
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve))
    return server
  }
  let server = await listen(options.port ?? 0)
  const port = portOf(server.address())
  const down = async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  return {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    statements,
    requests,
    fail: (fault, times = Number.POSITIVE_INFINITY, matching = /^/) => {
      failing = { fault, times, matching }
    },
    drop: (setting) => {
      dropped = setting
    },
    heal: () => {
      failing = undefined
      dropped = undefined
    },
    down,
    up: async () => {
      server = await listen(port)
    },
    stop: async () => {
      await down()
      await engine.close()
      if (options.folder === undefined) await rm(folder, { recursive: true, force: true })
    },
  }
}

/**
 * What a cluster would do, as far as one engine without a Keeper can: definitions are made here alone, and replicated tables
 * are plain ones. Everything else, Distributed tables above all, runs as it came.
 */
export function withoutKeeper(sql: string): string {
  return sql
    .replace(/ ON CLUSTER `\w+`/g, '')
    .replace(/Replicated(\w*MergeTree)\('[^']*', '\{replica\}'(?:, ([^)]*))?\)/g, (_, engine: string, rest?: string) =>
      rest === undefined ? engine : `${engine}(${rest})`,
    )
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  return await buffer(request.headers['content-encoding'] === 'gzip' ? request.pipe(createGunzip()) : request)
}

/** Basic authentication, ClickHouse's own headers, or a certificate in place of a password. */
function loginOf({ headers, socket }: IncomingMessage) {
  const own = headers['x-clickhouse-user']
  if (typeof own === 'string') {
    const certified =
      headers['x-clickhouse-ssl-certificate-auth'] === 'on' && socket instanceof TLSSocket && socket.authorized
    return { user: own, password: String(headers['x-clickhouse-key'] ?? ''), certified }
  }
  const basic = headers.authorization?.match(/^Basic (.*)$/)?.[1]
  const [user = 'default', ...password] = Buffer.from(basic ?? 'ZGVmYXVsdDo=', 'base64')
    .toString()
    .split(':')
  return { user, password: password.join(':'), certified: false }
}

function remember<T>(list: T[], item: T): void {
  if (list.length >= mostRemembered) list.shift()
  list.push(item)
}

function portOf(address: AddressInfo | string | null): number {
  if (typeof address !== 'object' || address === null) throw new Error('the server does not listen')
  return address.port
}
